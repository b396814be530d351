"""The list of all kinds. docs/contributing/add-a-kind.md says how to add one."""

from collections.abc import Mapping

from hero_broker.kinds.chat import CHAT
from hero_broker.kinds.completion import COMPLETION
from hero_broker.kinds.embedding import EMBEDDING
from hero_broker.kinds.kind import Kind
from hero_broker.kinds.messages import MESSAGES
from hero_broker.kinds.moderation import MODERATION
from hero_broker.kinds.rerank import RERANK
from hero_broker.kinds.responses import RESPONSES
from hero_broker.kinds.stt import STT
from hero_broker.kinds.tts import TTS

# In the order in which they are listed to people. A model whose settings name no kind has the first one.
KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (CHAT, COMPLETION, EMBEDDING, TTS, STT, RERANK, MODERATION, MESSAGES, RESPONSES)
}
DEFAULT_KIND = next(iter(KINDS))
MODEL_KINDS = tuple(name for name, kind in KINDS.items() if kind.of_models == name)  # what a model can be
KIND_BY_PATH: dict[str, Kind] = {path: kind for kind in KINDS.values() for path in kind.paths}
LOOK_UP_KINDS: dict[str, Kind] = {path: kind for kind in KINDS.values() for path in kind.look_ups}  # by their path
CALL_PATHS = (*KIND_BY_PATH, *LOOK_UP_KINDS)  # of the data plane's endpoint
