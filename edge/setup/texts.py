"""Every sentence of the set-up, in Dutch: the administrator's language, and that of the configuration's comments. Texts only."""

from __future__ import annotations

from typing import Final

HEADER: Final = """\
# De configuratie van deze kamer, gemaakt door `spreekkamer setup`. Er staat geen geheim in.
# Een regel met een # is een instelling die op haar standaard staat. Na een wijziging: sudo systemctl restart spreekkamer.target
"""

SECTIONS: Final = {
    "room": "Welke kamer dit is, en wanneer het geheugen van de laatste seconden mag lopen.",
    "governance": "Wie voor de camera instaat en waarom zij er hangt. Zonder dit deel gaat geen camera open.",
    "camera": "Het beeld.",
    "microphone": "Het geluid: een besluit op zichzelf. Staat het uit, dan wordt het apparaat niet geopend.",
    "ring": "Hoeveel van het verleden in het werkgeheugen staat, en nergens anders.",
    "clip": "Hoe lang een opname doorloopt na de laatste druk.",
    "retention": "Wanneer een opname wordt verwijderd, geteld vanaf de druk.",
    "seal": "De openbare sleutels waarvoor opnamen worden verzegeld. De geheime sleutels komen nooit op dit apparaat.",
    "panel": "Knoppen, schakelaars, lampen en alarmrelais, met hun BCM-nummers.",
    "page": "De statuspagina.",
    "notify": "Wie bericht krijgt. Nooit het alarm zelf.",
    "paths": "Waar opnamen staan, en de sockets.",
}

# What stands above a setting.
SETTINGS: Final = {
    "room.name": "Zoals zij op de deur en op de statuspagina staat.",
    "room.building": "Het gebouw.",
    "room.arming": "conversation: alleen tijdens een gesprek. always: altijd; dan worden ook schoonmakers gefilmd.",
    "governance.controller": "Verwerkingsverantwoordelijke.",
    "governance.dpo_contact": "Hoe de functionaris gegevensbescherming (FG) te bereiken is.",
    "governance.purpose": "Het doel van deze camera. Alleen “veiligheid” is te vaag.",
    "governance.criteria": "Wanneer een medewerker mag drukken.",
    "governance.criteria_by": "Wie dat heeft vastgesteld en wie het toetst.",
    "governance.less_intrusive": "Welke minder ingrijpende middelen er zijn, en waarom die niet volstaan.",
    "governance.legal_basis": "De grondslag. Toestemming kan het niet zijn: wie het gesprek nodig heeft, weigert niet vrij.",
    "governance.dpia_reference": "Kenmerk van de gegevensbeschermingseffectbeoordeling (DPIA).",
    "governance.dpia_date": "Datum van de DPIA.",
    "governance.review_by": "Uiterlijk dan wordt alles opnieuw bekeken.",
    "governance.works_council_consent": "Instemming van de ondernemingsraad: kenmerk of datum.",
    "camera.source": "none, v4l2:/dev/v4l/by-id/…, picamera, of rtsp://adres/pad (zonder gebruiker en wachtwoord).",
    "camera.width": "Beeldpunten.",
    "camera.height": "Beeldpunten.",
    "camera.fps": "Beelden per seconde.",
    "camera.login": "Naam van het geheim met gebruiker:wachtwoord van een netwerkcamera.",
    "microphone.mode": "off, from_press (pas na de druk), of in_ring (ook in het geheugen van de laatste seconden).",
    "microphone.source": "camera, default, of alsa:NAAM met de naam die `arecord -l` tussen haken geeft.",
    "ring.seconds": "0: de camera gaat pas bij de druk open. Ten hoogste 60.",
    "ring.mebibytes": "Nooit meer geheugen dan dit.",
    "clip.post_press_seconds": "Zo lang na de laatste druk, als niemand de kamer herstelt.",
    "clip.max_minutes": "Nooit langer dan dit.",
    "retention.seconds": "259200 is 72 uur. Ten hoogste vier weken.",
    "retention.reserve_clips": "Voor zoveel opnamen is altijd plaats vrijgehouden.",
    "seal.recipients": "Ten minste één; beter twee, waarvan één in een kluis.",
    "panel.panic": "De noodknop. no: maakcontact, nc: verbreekcontact, pair: beide, met pin_closed voor het verbreekcontact.",
    "panel.alarm": "Het alarmrelais. steady: zolang het alarm duurt, pulse: een seconde bij elke druk.",
    "panel.attention": "Roept een collega en neemt niets op.",
    "panel.reset": "Herstelt de kamer na een alarm.",
    "panel.privacy": "Sluit de camera en wist het geheugen; gaat boven alle software.",
    "panel.conversation": "Aan tijdens een gesprek.",
    "panel.test_key": "Sleutelschakelaar: vijf minuten lang is een druk een proef.",
    "panel.lamp_official": "Lamp van de medewerker.",
    "panel.lamp_resident": "Lamp van de bezoeker: camera aan of uit.",
    "page.bind": "Waar zij luistert. Verder dan dit apparaat zelf: alleen met wachtwoord en TLS (docs/desk-browser.md).",
    "page.port": "Poort. Onder systemd zegt spreekkamer-show.socket waar zij luistert.",
    "page.names": "Hoe browsers haar noemen, naast de namen in het certificaat.",
    "page.certificate": "Certificaat (PEM): een bestand, of het geheim page-tls-certificate.",
    "page.key": "De sleutel erbij: een bestand, of het geheim page-tls-key.",
    "page.password_hash": "Het geheim page-password-hash; alleen samen met certificaat en sleutel.",
    "page.proxies": "Adressen van de proxy’s die als enige mogen vragen.",
    "page.theme": "CSS-bestand met de huisstijl.",
    "page.rooms": "Andere kamers op deze pagina; zet ze onderaan als [[page.rooms]] met name en url (docs/page.md).",
    "notify.webhooks": "Wie bij een druk en bij storingen bericht krijgt (docs/notifications.md).",
    "notify.mqtt": "Een MQTT-broker die hetzelfde hoort (docs/notifications.md).",
    "paths.store": "Verzegelde opnamen en het logboek.",
    "paths.run": "Sockets, in het werkgeheugen.",
}

WELCOME: Final = """\
Spreekkamer: inrichten van deze kamer.
Enter neemt het voorstel tussen [haken]. Ctrl-C breekt af; er wordt pas aan het eind iets geschreven.
"""
NO_TERMINAL: Final = "dit is geen terminal; geef de antwoorden met --answers BESTAND"
INTERRUPTED: Final = "afgebroken; er is niets geschreven"
EXISTS: Final = "{path} bestaat al; met --replace komt er een nieuwe voor in de plaats"
MUST_BE_ROOT: Final = "dit mag alleen root schrijven: sudo spreekkamer setup"
UNKNOWN_SETUP: Final = "setup.{name}: onbekend; wel bekend zijn {known}"
NOT_OF_KIND: Final = "setup.{name}: moet {kind} zijn"
NOT_A_HASH: Final = "setup.password_hash: is geen argon2id-hash; maak die met `spreekkamer setup`, of laat de regel weg"
NEEDS_KEY: Final = "seal.recipients: er is een camera en geen sleutel, dus geen opname kan worden verzegeld"
NEEDS_RECORD: Final = "governance: er is een camera, dus dit deel is nodig"
NAMED_CAMERA: Final = (
    "camera.source: noem de netwerkcamera bij haar IP-adres; de recorder mag dat ene adres bereiken en geen naamserver"
)

HINT_DEFAULT: Final = " [{default}]"
AGAIN: Final = "Dat kan niet: {problem}"
YES_NO: Final = "{question} (j/n)"
YES: Final = frozenset({"j", "ja", "y", "yes"})
NO: Final = frozenset({"n", "nee", "no"})
ANSWER_YES_NO: Final = "antwoord j of n"
ANSWER_NUMBER: Final = "kies een nummer van 1 tot en met {most}"
ANSWER_DATE: Final = "schrijf een datum als 2026-01-31"
ANSWER_WHOLE: Final = "schrijf een geheel getal"
ANSWER_SOMETHING: Final = "dit moet ingevuld zijn"

PART_ROOM: Final = "\n— De kamer —"
PART_CAMERA: Final = "\n— Camera en microfoon —"
PART_RECORD: Final = "\n— Verantwoording: wie staat hiervoor in —"
PART_KEYS: Final = "\n— Sleutels —"
PART_WIRES: Final = "\n— Aansluitingen (BCM-nummers) —"
PART_ACCESS: Final = "\n— Toegang —"

ASK_NAME: Final = "Naam van de kamer"
ASK_BUILDING: Final = "Gebouw"
ASK_ARMING: Final = "Wanneer mag het geheugen van de laatste seconden lopen?"
ARMING: Final = {"conversation": "alleen tijdens een gesprek (schakelaar)", "always": "altijd"}
ASK_CAMERA: Final = "Welke camera?"
NO_CAMERA: Final = "geen: alleen een alarmknop"
PI_CAMERA: Final = "de camera van de Raspberry Pi zelf"
NETWORK_CAMERA: Final = "een netwerkcamera (RTSP)"
OTHER_CAMERA: Final = "zoals nu: {source}"
ASK_ADDRESS: Final = "Adres van de camera (rtsp://192.0.2.10/pad, zonder gebruiker en wachtwoord)"
ASK_LOGIN: Final = "gebruiker:wachtwoord van de camera (leeg: geen)"
ASK_RING: Final = "Seconden vóór de druk (0: de camera gaat pas bij de druk open)"
ASK_SOUND: Final = "Geluid?"
SOUND: Final = {"off": "nee", "from_press": "pas vanaf de druk", "in_ring": "ook van vóór de druk"}
ASK_MICROPHONE: Final = "Welke microfoon?"
CAMERA_SOUND: Final = "die van de camera"
DEFAULT_SOUND: Final = "de standaardmicrofoon van dit apparaat"
ASK_RECIPIENT: Final = "Openbare sleutel van de incidentfunctionaris (age1…)"
ASK_ANOTHER: Final = "Nog een openbare sleutel (leeg: klaar)"
KEYS_MADE_ELSEWHERE: Final = "Maak sleutels op een andere computer: age-keygen, of spreekkamer keys new."
ASK_CONTACT: Final = "Soort noodknop?"
CONTACT: Final = {
    "no": "maakcontact: sluit bij een druk",
    "nc": "verbreekcontact: opent bij een druk",
    "pair": "beide: ziet ook een doorgeknipte draad",
}
ASK_PIN: Final = "{wire}: pin (- is: niet aangesloten)"
ASK_NEEDED_PIN: Final = "{wire}: pin"
WIRES: Final = {
    "panic": "Noodknop",
    "panic_closed": "Noodknop, verbreekcontact",
    "alarm": "Alarmrelais",
    "attention": "Aandachtsknop",
    "reset": "Herstelknop",
    "privacy": "Privacyschakelaar",
    "conversation": "Gespreksschakelaar",
    "test_key": "Proefsleutel",
    "lamp_official": "Lamp van de medewerker",
    "lamp_resident": "Lamp van de bezoeker",
}
PULLED_UP: Final = "Let op: pin {pin} ({wire}) is bij het aanzetten hoog, dus trekt even aan; kies 9 tot en met 27."
ASK_LOCK: Final = "Wachtwoord van de statuspagina, voor als zij een certificaat krijgt (leeg: geen)"
ASK_TWICE: Final = "Nog eens"
NOT_EQUAL: Final = "de twee zijn niet gelijk"
ASK_PAGE: Final = "Poort {port} van de statuspagina openen in de firewall?"
ASK_SSH: Final = "SSH toelaten in de firewall (beheer op afstand)?"
ASK_TRY: Final = "De aansluitingen nu proberen?"
ASK_WRITE: Final = "Dit alles opschrijven?"

ALARM_FIRST: Final = "Meld de alarmopvolging dat u test: het relais en de noodknop kunnen hulp roepen."
PINS_TAKEN: Final = (
    "De aansluitingen zijn niet te proberen: {problem}. Loopt de kamer al? sudo systemctl stop spreekkamer.target"
)
NO_PINS: Final = "Dit apparaat heeft geen aansluitingen: {problem}"
AT_REST: Final = "In rust: alles goed."
NOT_AT_REST: Final = "{wire} staat nu aan zonder dat iemand haar gebruikt: verkeerd contact, of een losse draad."
USE_NOW: Final = "{wire}: druk of schakel NU, en laat weer los … (Enter slaat over)"
SEEN: Final = "   gezien."
LET_GO: Final = "   weer los."
OTHER_SEEN: Final = "   dat was {wire}; gevraagd is {wanted}."
NOT_SEEN: Final = "   niet gezien."
ASK_SWITCH: Final = "{wire}: een seconde aanzetten?"
ASK_SAW: Final = "Ging het aan en weer uit?"
TRIED: Final = "Alles is gezien en werkt."
NOT_TRIED: Final = "Niet in orde of niet geprobeerd: {wires}"

WRITTEN: Final = "Geschreven: {path}"
NEXT: Final = "Nu: sudo systemctl restart nftables spreekkamer.target, en daarna: spreekkamer check --config {path}"
