"""Lists of devices: what is read of CSV and JSON lines, every mistake with its line, and what is given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ota.certificates import keys
from ota.errors import OtaError
from ota.fleet.device_lists import Device, failed_path, failed_text, made_up_list, read_device_list

CSR = keys.signing_request(ec.generate_private_key(ec.SECP256R1()), "lamp")


def read(tmp_path: Path, text: str, name: str = "devices.csv", encoding: str = "utf-8") -> tuple[Device, ...]:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_device_list(path, own_thing="lamp").devices


READ = {
    "plain": ("thing_name\na\nb\n", "devices.csv"),
    "windows": ("thing_name\r\na\r\nb\r\n", "devices.csv"),
    "blank lines and blanks": ("thing_name\n\n a \n\nb", "devices.csv"),
    "semicolons": ("thing_name;site\na;x\nb;x", "devices.csv"),
    "quoted": ('"thing_name"\n"a"\n"b"\n', "devices.csv"),
    "JSON lines": ('{"thing_name": "a"}\n\n{"thing_name": "b"}\n', "devices.jsonl"),
    "JSON lines by their look": ('{"thing_name": "a"}\n{"thing_name": "b"}', "devices.txt"),
}


@pytest.mark.parametrize(("text", "name"), READ.values(), ids=READ)
def test_the_devices_of_a_list(tmp_path: Path, text: str, name: str) -> None:
    assert [one.name for one in read(tmp_path, text, name)] == ["a", "b"]


def test_a_list_from_a_spreadsheet_has_a_byte_order_mark(tmp_path: Path) -> None:
    assert [one.name for one in read(tmp_path, "thing_name\na\n", encoding="utf-8-sig")] == ["a"]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    found = read(tmp_path, f'thing_name,csr\na,"{CSR}"\n\nb,\n')
    lines = CSR.count("\n")
    assert [(one.name, one.line, bool(one.csr)) for one in found] == [("a", 2, True), ("b", 4 + lines, False)]


PEM = CSR.replace("\n", "\\n")
TAMPERED = PEM.replace(PEM[80:84], "AAAA")
SMALL_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
SMALL = keys.signing_request(SMALL_KEY, "a").replace("\n", "\\n")
WRONG = {
    "no name": ("name,site\na,x", ["line 1: no column thing_name (columns: name, site)"]),
    "nothing": ("", ["line 1: no column thing_name (columns: none)"]),
    "no devices": ("thing_name\n", ["line 1: no devices"]),
    "a column twice": ("thing_name,a,a\nx,1,2", ['line 1: the column "a" is there twice']),
    "no attribute's name": ("thing_name,board rev\na,1", ['line 1: the column "board rev" cannot be an attribute']),
    "our own mark": ("thing_name,managed-by\na,me", ["line 1: the column managed-by is this tool's own mark"]),
    "three attributes": ("thing_name,a,b,c\nx,1,2,3", ["line 1: 3 attributes (a, b, c): AWS allows", "leave 2"]),
    "too few values": ("thing_name,a\nx", ["line 2: 1 values for 2 columns"]),
    "no value": ("thing_name,a\nx,", ["line 2: no value for a"]),
    "a value with a blank": ("thing_name,a\nx,on top", ['line 2: a "on top": a value has']),
    "names": ("thing_name\nmy lamp\n\nlamp-ä", ['line 2: thing_name "my lamp"', 'line 4: thing_name "lamp-ä"']),
    "the thing of the settings": ("thing_name\nlamp", ["line 2: lamp is the thing of the settings"]),
    "the same name": ("thing_name\na\nb\na", ["line 4: a is on line 2 already"]),
    "an open quote": ('thing_name\na\n"b', ["line 3: not CSV"]),
    "JSON of numbers": (
        '{"thing_name": 1}\n{"thing_name"',
        ["line 1: not a JSON object of texts", "line 2: not a JSON"],
    ),
    "JSON without a value": ('{"thing_name": "a", "x": "1"}\n{"thing_name": "b"}', ["line 2: no value for x"]),
    "no such file": ("thing_name,csr\na,gone.pem", ["line 2: csr: there is no file"]),
    "no request": ("thing_name,csr\na,devices.csv", ["line 2: csr: not a signing request in PEM form"]),
    "a request that was changed": (f"thing_name,csr\na,{TAMPERED}", ["line 2: csr: "]),
    "a small key": (f"thing_name,csr\na,{SMALL}", ["line 2: csr: AWS takes RSA keys of at least 2048 bits"]),
    "one key for two": (f"thing_name,csr\na,{PEM}\nb,{PEM}", ["line 3: csr: its key is the one of line 2"]),
}


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=WRONG)
def test_every_mistake_is_told_with_its_line(tmp_path: Path, text: str, told: list[str]) -> None:
    with pytest.raises(OtaError) as refusal:
        read(tmp_path, text)
    assert [one for one in told if one not in str(refusal.value)] == [], str(refusal.value)
    assert "nothing was done" in str(refusal.value)


def test_all_mistakes_are_told_at_once_up_to_a_hundred(tmp_path: Path) -> None:
    with pytest.raises(OtaError) as refusal:
        read(tmp_path, "thing_name\n" + "a b\n" * 250)
    lines = str(refusal.value).splitlines()
    assert lines[1].startswith("  line 2: ")
    assert (len(lines), lines[-1]) == (102, "  and 150 more")


@pytest.mark.parametrize("name", ["gone.csv", "binary.csv"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OtaError, match=name):
        read_device_list(tmp_path / name)


def test_the_refused_lines_are_a_list_of_the_same_form(tmp_path: Path) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(f'thing_name,csr,site\na,,x\nb,"{CSR}",y\n')
    listed = read_device_list(path)
    again = failed_path(path, tmp_path)
    again.write_text(failed_text(listed, listed.devices[1:]))
    assert again.name == "devices.failed.csv"
    assert [one._replace(line=0) for one in read_device_list(again).devices] == [listed.devices[1]._replace(line=0)]
    assert failed_path(again, tmp_path) == again


def test_a_made_up_list_is_a_good_one(tmp_path: Path) -> None:
    assert [one.name for one in read(tmp_path, made_up_list("lamp", 2))] == ["lamp-1", "lamp-2"]
