"""Lists the providers that need no settings file: a key in the environment is enough.

A name is that of `genai-prices`, or of the variable if `genai-prices` has none. The URLs are those that the providers
document for OpenAI's clients.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """A provider's URL, and the environment variables that hold its keys."""

    name: str
    base_url: str
    variable: str  # holds one key
    plural: str | None = None  # holds several keys, separated by commas
    stream_usage: bool = True


# If several offer a model, the first one in this order serves it.
KNOWN_PROVIDERS = (
    KnownProvider("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_API_KEYS"),
    KnownProvider("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    KnownProvider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", "GROQ_API_KEYS"),
    KnownProvider("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY", "SAMBANOVA_API_KEYS"),
    KnownProvider(
        "dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY", "DASHSCOPE_API_KEYS"
    ),
    KnownProvider("google", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    # It always reports the usage of streams, and rejects unknown members.
    KnownProvider("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", stream_usage=False),
    KnownProvider("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    KnownProvider("x-ai", "https://api.x.ai/v1", "XAI_API_KEY"),
    KnownProvider("cohere", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY"),
    KnownProvider("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    KnownProvider("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    KnownProvider("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    KnownProvider("perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY"),
    KnownProvider("moonshotai", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    KnownProvider("novita", "https://api.novita.ai/openai/v1", "NOVITA_API_KEY"),
    KnownProvider("jina", "https://api.jina.ai/v1", "JINA_API_KEY"),
    KnownProvider("voyageai", "https://api.voyageai.com/v1", "VOYAGE_API_KEY"),
    # It resells other providers' models, under names that begin with the provider's.
    KnownProvider("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "OPENROUTER_API_KEYS"),
)
