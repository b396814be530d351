"""A journal that version 0.1.0 left behind is recovered: two calls in flight, and a row that the database may lack."""

import base64
from pathlib import Path

from hero_broker.core.calls import Outcome
from hero_broker.ledger.journal import Journal
from hero_broker.metering.billing_row import interrupted_row

# A segment as 0.1.0 wrote it, in base85, without the zeros that fill the file: the notes of a chat, of an embedding
# with its row, and of a speech without a price.
SEGMENT = (
    "NJUalN>WZt0ssI200000eE<Le=C1-K0iCHZF*z_TZ*XO9&T9oH;FGB_IWjIVE;24Lz@uYyc%)-!VRWHwp>U#gaKp_3kigkEdm?FW"
    "aCLNFaAk5|ZE0+5X>V>KIwCMGH8~<IB5!qcaCLNFaAk5|ZE0+5X>V>KIwCMGH#s7GsB>j>bZKs9bEtD=baZKMXLE-D007H8Rbv62"
    "tS~V-FfDUsbaZTGWX@{^C*YH-GB7YPI%HxvIyy1HqhoY<sby_qWn^S&ZfBuwp>U#gaKp_3kigkEdm?FWaCLNFaAk5|ZE0+5X>V>K"
    "IwCMGH8~<IB5!qcaCLNFaAk5|ZE0+5X>V>KIwCMGH#s7GsB>j>bZKs9bEtD=baZKMXLIua004%0THped+yEe~FflnWEpugbbZlj0"
    "&T9oH;Hxq)Fflr0VmLZFF~krc0S&kS00000000000005NqhoY<z^P?zVr67xX>MnsZJ}_Yb#TM0X>N37a&mQWbY*0~t7&d@WpZ+L"
    "aCBv4WB|axz`(%3z`&_xb98BKVRU6=&E|NeaB^v5W!WG(Gch<fWnyA7WHw@EGBIQ@H(@wsH8eChFga#3Vlrj{0KnNedm?FWaCLNF"
    "aAk5|ZE0+5X>V>KIwCMGH8~<IB5!qcaCLNFaAk5|ZE0+5X>V>KIwCMGH#s7GsB>j>bZKs9bEtD=baZKMXLB+D001pjkevaYs4y`("
    "FfDX+bIxl8C*YH*F*!0WFfKAKGr*%`ba<n5baSC?p>U#gaKp_3kRrgKpa"
)


def test_journal_of_the_version_before_is_recovered(tmp_path: Path) -> None:
    (tmp_path / "0000000001.journal").write_bytes(base64.b85decode(SEGMENT) + bytes(4096))

    journal = Journal(tmp_path, interrupted_row, max_bytes=10_000_000, max_calls=10)
    rows = {due.row.request_id: due.row for due in journal.recovered}
    journal.close()

    assert rows.keys() == {"0190-open", "0190-settled", "0190-tts"}
    assert {row.outcome for row in rows.values()} == {Outcome.INTERRUPTED}
    chat, embedding, speech = rows["0190-open"], rows["0190-settled"], rows["0190-tts"]
    assert (chat.kind, chat.ip, chat.input_tokens, chat.cost_nano_usd) == ("chat", "192.0.2.1", 100, 59_000)
    assert (embedding.kind, embedding.ip, embedding.cost_nano_usd) == ("embedding", "2001:db8::1", 59_000)
    assert (speech.kind, speech.characters, speech.cost_nano_usd) == ("tts", 34, None)
    assert {row.attempts for row in rows.values()} == {1}
