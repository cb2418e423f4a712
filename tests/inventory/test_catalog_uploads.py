"""What may be uploaded as a catalog, and the tricks of archives that are refused."""

import io
import tarfile
import zipfile

import pytest

from inventory.catalog import CatalogInvalid, archive, read
from tests.inventory.folders import SOUND


def zipped(files, **attributes):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = attributes.get("mode", 0o100644) << 16
            made.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def tarred(files, mode="w:gz", **facts):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as made:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            for fact, value in facts.items():
                setattr(entry, fact, value)
            made.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def refusal(name, data):
    with pytest.raises(CatalogInvalid) as caught:
        archive.unpack(name, data)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("estate.zip", zipped(SOUND)),
        ("estate.tar", tarred(SOUND, "w")),
        *((f"estate.tar.{end}", tarred(SOUND, f"w:{end}")) for end in ("gz", "bz2", "xz")),
        ("estate.zip", zipped({f"infra-main/catalog/{name}": text for name, text in SOUND.items()})),
        ("estate.zip", zipped(SOUND | {"README.md": "# Estate", "empty/": ""})),
    ],
)
def test_archives_of_one_folder_are_read(name, data):
    estate = read(archive.unpack(name, data), "x")
    assert (estate.catalog, len(estate.components)) == ("small", 4)


def test_a_single_file_is_read():
    assert archive.unpack("C:\\estate\\all.yaml", b"teams: {}\n") == [("all.yaml", b"teams: {}\n")]


TRICKS = {
    "up and out": (zipped({"../x.yaml": "teams: {}"}), "“../x.yaml” leads out of the archive."),
    "absolute": (tarred({"/etc/x.yaml": "teams: {}"}), "“/etc/x.yaml” leads out of the archive."),
    "a drive": (zipped({"C:\\x.yaml": "teams: {}"}), "“C:\\x.yaml” leads out of the archive."),
    "backslashes": (zipped({"..\\..\\x.yaml": "teams: {}"}), "“..\\..\\x.yaml” leads out of the archive."),
    "a link in a zip": (zipped({"x.yaml": "/etc/passwd"}, mode=0o120777), "“x.yaml” is a link."),
    "a link in a tar": (tarred({"x.yaml": ""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "“x.yaml” is a link."),
    "a hard link": (tarred({"x.yaml": ""}, type=tarfile.LNKTYPE, linkname="y"), "“x.yaml” is a link."),
    "a device": (tarred({"x.yaml": ""}, type=tarfile.CHRTYPE), "“x.yaml” is not a regular file."),
    "two folders": (zipped({"a/x.yaml": "", "b/y.yaml": ""}),
                    "Its .yaml files lie in several folders; a catalog is one folder."),
    "nothing": (zipped({"x.txt": "hello"}), "There is no .yaml file in this archive."),
    "too many entries": (zipped({f"{n}.txt": "" for n in range(2001)}), "There are more than 2000 entries in this "
                         "archive."),
    "too many files": (zipped({f"{n}.yaml": "" for n in range(201)}), "There are more than 200 files in this archive."),
    "cut off": (zipped(SOUND)[:200], "The archive is damaged."),
    "no gzip": (b"\x1f\x8b\x08\x00rubbish", "The archive is damaged."),
    "neither": (b"\x7fELF", "This is neither YAML nor a tar or zip of YAML files."),
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_what_could_do_harm_is_refused(trick):
    data, sentence = TRICKS[trick]
    assert refusal("estate.bin", data) == [f"estate.bin: {sentence}"]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_bomb_is_given_up_on_the_way(make, monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED", 100_000)
    data = make({"x.yaml": "#" * 5_000_000})
    assert len(data) < 20_000
    assert refusal("bomb", data) == ["bomb: It unpacks to more than 97 KiB."]


def test_a_zip_that_lies_about_its_size_is_not_believed(monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED", 1000)
    data = zipped({"x.yaml": "#" * 5000}).replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    found = refusal("lie", data)
    assert found in (["lie: It unpacks to more than 0 KiB."], ["lie: The archive is damaged."])


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_UPLOAD", 1024)
    assert refusal("x.yaml", b"#" * 2000) == ["x.yaml: The upload is larger than 1 KiB."]
