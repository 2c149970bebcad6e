"""Answers that make a room, for a test to change."""

from __future__ import annotations

from typing import Final

import pyrage

RECIPIENT: Final = str(pyrage.x25519.Identity.generate().to_public())

RECORD: Final = """\
[governance]
controller = "Gemeente Voorbeeld"
dpo_contact = "fg@voorbeeld.example"
purpose = "Hulp bij bedreiging in deze kamer, en bewijs daarvan"
criteria = "Bij dreiging"
criteria_by = "Ondernemingsraad en FG"
less_intrusive = "Alarmknop zonder camera: geprobeerd"
legal_basis = "Gerechtvaardigd belang, afgewogen in de DPIA"
dpia_reference = "DPIA-1"
dpia_date = 2026-01-15
review_by = 2027-01-15
works_council_consent = "2026-02-01"
"""

ANSWERS: Final = f"""\
[room]
name = "Kamer “2” met \\\\ en ü"
arming = "always"

{RECORD}
[camera]
source = "v4l2:/dev/v4l/by-id/usb-Cam_1-video-index0"

[seal]
recipients = ["{RECIPIENT}"]

[panel]
panic = {{ pin = 5, contact = "pair", pin_closed = 6 }}
alarm = {{ pin = 26, signal = "pulse" }}
reset = {{ pin = 16 }}

[setup]
ssh = true
page = true
password_hash = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"
"""
