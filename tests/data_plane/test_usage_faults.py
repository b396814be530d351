"""Usage that contradicts itself is counted for its provider, and logged once a minute."""

import pytest

from hero_broker.core.records import UsageFault
from hero_broker.data_plane.usage_faults import UsageFaults
from tests.ledger.rows import row


def test_faults_are_counted_for_each_provider() -> None:
    faults = UsageFaults()

    for provider, cut_parts, unexplained in (("p", ("audio_input_tokens",), 0), ("p", (), -3), ("q", (), 7)):
        faults.note(UsageFault(row(provider=provider), cut_parts, unexplained))

    assert dict(faults.cut) == {"p": 1, "q": 0}
    assert dict(faults.unexplained) == {"p": 1, "q": 1}


def test_log_has_a_provider_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    faults = UsageFaults(lambda: now)
    fault = UsageFault(row(provider="p"), ("audio_input_tokens",), 100)

    faults.note(fault)
    now = 59.9
    faults.note(fault)
    first = caplog.messages.copy()
    now = 60.0
    faults.note(fault)

    assert len(first) == 1
    assert all(text in first[0] for text in ("provider p ", "audio_input_tokens", "not billed: 100"))
    assert caplog.messages == first * 2
