"""The daemon's config: every mistake is said with its file and line, what is allowed, and what to do."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from runtime.config import read_config
from runtime.pipeline.input_from import Axes, ChannelFrom, InputFrom
from toolkit.errors import InputError
from toolkit.toml_lines import Lines

GOOD = """\
[model]
bundle = "b"
engine = "native"

[sources]
urls = ["sim://synthetic",
        "replay://x.etl?speed=max"]

[inputs.imu]
from = ["foot/imu", "shank/imu"]
check_names = false

[alignment]
gaps = "invalidate"
reorder_ms = 30
longest_gap_ms = 50

[states]
stale_ms = 200
silence_ms = 900.5

[[sinks]]
url = "ndjson:-"

[[sinks]]
url = "udp://127.0.0.1:9000"

[server]
port = 0

[recording]
folder = "rec"

[log]
level = "debug"
form = "json"

[labels]
place = "lab"
"""


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_a_whole_config(tmp_path: Path) -> None:
    settings = read_config(_write(tmp_path, GOOD))
    assert settings.model.bundle == tmp_path / "b" and settings.model.engine == "native"
    assert settings.sources == ("sim://synthetic", "replay://x.etl?speed=max")
    assert settings.inputs == {"imu": InputFrom(("foot/imu", "shank/imu"), False)}
    assert (settings.alignment.policy, settings.alignment.reorder_s) == ("invalidate", 0.03)
    assert settings.alignment.longest_gap_s == 0.05
    rules = settings.rules
    assert (rules.stale_ms, rules.silence_ms, rules.gaps_invalid, rules.clock_ms) == (200, 900.5, True, 25.0)
    assert [dict(sink)["url"] for sink in settings.sinks] == ["ndjson:-", "udp://127.0.0.1:9000"]  # type: ignore[arg-type]
    assert settings.server is not None and settings.server.port == 0
    assert settings.recording is not None and settings.recording.folder == tmp_path / "rec"
    assert (settings.log.level, settings.log.form) == ("debug", "json")
    assert settings.labels == {"place": "lab"}


def test_the_least_config(tmp_path: Path) -> None:
    settings = read_config(
        _write(tmp_path, '[model]\nbundle = "/b"\n[sources]\nurls = ["sim://synthetic"]\n')
    )
    assert settings.model.bundle == Path("/b") and settings.model.engine == "litert"
    assert (settings.sinks, settings.server, settings.recording, settings.inputs) == ((), None, None, {})


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('engine = "native"', 'engine = "fast"', 3, "model.engine is 'fast'; allowed: litert, tflite-runtime, native"),
        ('bundle = "b"', "bundle = 3", 2, "model.bundle is 3; it must be a text"),
        ('bundle = "b"\n', "", 1, "[model] lacks 'bundle'; add it"),
        ('bundle = "b"', 'bundle = "b"\nwatch = 1', 3, "model.watch is 1; it must be true or false"),
        ("stale_ms = 200", "stale_ms = 5", 19, "states.stale_ms is 5; it must be from 10 to 60000"),
        ("stale_ms = 200", 'stale_ms = "5"', 19, "states.stale_ms is '5'; it must be a number from 10 to 60000"),
        ("stale_ms = 200", "stale_ms = true", 19, "it must be a number"),
        ("stale_ms = 200", "stale_ms = nan", 19, "it must be from 10 to 60000"),
        ("stale_ms = 200", "stall_ms = 200", 19, "states has no key 'stall_ms'; allowed: stale_ms, silence_ms,"),
        ("silence_ms = 900.5", "silence_ms = 100", 18, "silence_ms must not be smaller"),
        ("port = 0", "port = 70000", 29, "server.port is 70000; it must be from 0 to 65535"),
        ("port = 0", "port = 1.5", 29, "it must be a whole number"),
        ("port = 0", 'host = "0.0.0.0"', 29, "can be reached by others and there is no token"),
        ("port = 0", 'token_file = "absent"', 29, "cannot read the server's token"),
        ("[log]", "[logs]", 34, "section 'logs' is not known; allowed: model, sources,"),
        ('url = "ndjson:-"', 'url = "tcp://x"', 22, "'tcp' is not known; allowed: ndjson:-"),
        ('url = "udp://127.0.0.1:9000"', 'url = "udp://x"', 25, "must be HOST:PORT"),
        ('urls = ["sim://synthetic",', 'urls = ["sam://synthetic",', 6, "scheme 'sam' is not known; allowed: replay://"),
        ('from = ["foot/imu", "shank/imu"]', 'from = "foot/imu"', 10, "it must be a list of at least one text"),
        ('from = ["foot/imu", "shank/imu"]', "from = []", 10, "it must be a list of at least one text"),
        ('from = ["foot/imu", "shank/imu"]\n', "", 9, "[inputs.imu] lacks 'from'"),
        ('folder = "rec"', 'folder = "rec"\nprefix = "a/b"', 33, "it must not be a path"),
        ('place = "lab"', "place = 1", 39, "labels.place is 1; labels must be texts"),
        ("[log]", "[log", 34, "not TOML"),
        ('bundle = "b"', 'bundle = "b\\u0000c"', 2, "must not hold the character NUL"),
        ('bundle = "b"', 'bundle = "~no-such-user/b"', 2, "the home of an unknown user"),
        ('"replay://x.etl?speed=max"', '"sim://synthetic"', 6, "'sim://synthetic' is given twice; give each once"),
        ('from = ["foot/imu", "shank/imu"]', 'from = ["foot/imu", "foot/imu"]', 10, "'foot/imu' is given twice"),
        ('urls = ["sim://synthetic",', 'urls = ["sim://[::1",', 6, "is not a source URL"),
        ("port = 0", f"port = {'9' * 5000}", 1, "a number with thousands of digits"),
        ('place = "lab"', f"place = {'[' * 2000}{']' * 2000}", 1, "brackets nested hundreds deep"),
        ('form = "json"', 'form = "json"\nform = "json"', 37, "not TOML"),
        ('[sources]\nurls = ["sim://synthetic",\n        "replay://x.etl?speed=max"]\n', "", 1, "section [sources] is missing"),
    ],
)  # fmt: skip
def test_mistakes_have_a_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert GOOD.count(old) == 1
    path = _write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_config(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:{line}: "), text
    assert words in text
    assert "\n" not in text


MAPPED = """\
[inputs.imu]
from = ["foot/imu", "shank/imu"]
unit = { accel = "g", gyro = "deg/s" }
resample = true

[inputs.imu.axes]
foot = ["-y", "x", "z"]
shank = ["z", "x", "y"]

[inputs.emg]
from = ["emg"]
unit = "uV"
scale = 0.5

[inputs.emg.channels]
soleus = "ch 1"
tib_ant = { channel = "ch 2", unit = "mV", scale = -1 }
"""
LEAST = '[model]\nbundle = "b"\n[sources]\nurls = ["sim://synthetic"]\n'


def test_what_sensors_send_mapped_to_the_contract(tmp_path: Path) -> None:
    inputs = read_config(_write(tmp_path, LEAST + MAPPED)).inputs
    imu, emg = inputs["imu"], inputs["emg"]
    assert imu.unit == {"accel": "g", "gyro": "deg/s"} and imu.resample and not emg.resample
    assert imu.axes["foot"] == Axes((1, 0, 2), (-1.0, 1.0, 1.0))
    assert imu.axes["shank"] == Axes((2, 0, 1), (1.0, 1.0, 1.0))
    assert (emg.unit, emg.scale) == ({"": "uV"}, {"": 0.5})
    assert emg.channels == {"soleus": ChannelFrom("ch 1"), "tib_ant": ChannelFrom("ch 2", "mV", -1.0)}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('accel = "g"', 'accel = "G"', 7, "unit 'G' is not known; allowed: m/s^2, rad/s,"),
        ('gyro = "deg/s"', 'gyros = "deg/s"', 7, "unit has no key 'gyros'; allowed: accel, gyro"),
        ('foot = ["-y", "x", "z"]', 'foot = ["y", "x", "z"]', 11, "are left-handed, which no mounting of a sensor gives"),
        ('foot = ["-y", "x", "z"]', 'foot = ["-y", "y", "z"]', 11, "name y twice"),
        ("scale = 0.5", "scale = 0", 17, "scale is 0; it must be a number other than 0"),
        ("scale = 0.5", "scale = nan", 17, "scale is nan; it must be a number other than 0"),
        ("scale = 0.5", 'scale = "2"', 17, "scale is '2'; it must be a number other than 0"),
        ("resample = true", "resample = 1", 8, "it must be true or false"),
        ("scale = -1 }", "scales = -1 }", 21, "a channel has no key 'scales'; allowed: channel, unit, scale"),
        ('soleus = "ch 1"', "soleus = 1", 20, "1 is not a channel"),
        ("resample = true", "rename = true", 8, "inputs.imu has no key 'rename'; allowed: from,"),
    ],
)  # fmt: skip
def test_mistakes_in_a_mapping_have_a_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    text = LEAST + MAPPED
    assert text.count(old) == 1
    path = _write(tmp_path, text.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}:{line}: ") and words in str(caught.value)


def test_a_sink_that_is_there_twice(tmp_path: Path) -> None:
    sink = '[[sinks]]\nurl = "unix:///run/moments.sock"\n'
    path = _write(tmp_path, f'[model]\nbundle = "b"\n[sources]\nurls = ["sim://synthetic"]\n{sink}{sink}')
    with pytest.raises(
        InputError, match=r":7: sink 'unix:///run/moments.sock' is given twice; give each once"
    ):
        read_config(path)


def test_files_that_a_sink_reads_lie_beside_the_config(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        '[model]\nbundle = "b"\n[sources]\nurls = ["sim://synthetic"]\n'
        '[[sinks]]\nurl = "mqtts://me@host/t"\npassword_file = "secret"\nca = "/etc/ca.pem"\n'
        '[[sinks]]\nurl = "ndjson:moments.ndjson"\n',
    )
    first, second = read_config(path).sinks
    assert isinstance(first, dict) and isinstance(second, dict)
    assert (first["password_file"], first["ca"]) == (str(tmp_path / "secret"), "/etc/ca.pem")
    assert second == {"url": "ndjson:moments.ndjson"}


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_config(tmp_path / "absent.toml")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read: not UTF-8"):
        read_config(binary)
    with pytest.raises(InputError, match="Is a directory"):
        read_config(tmp_path)


def test_lines_of_what_toml_allows() -> None:
    lines = Lines(
        'a.b = 1 # [no.table]\n"q.r" = 2\ntext = """\n[x]\nk = 1\n"""\n[ t . "u v" ]\nk = 1\n'
        "literal = '''\n[y]''' \n[[list]]\nk = 1\n  [[ list ]] # second\n  k = 2\n[list.sub]\nz = 1\n"
    )
    assert lines.of(("a", "b")) == 1
    assert lines.of(("q.r",)) == 2
    assert lines.of(("text",)) == 3
    assert lines.of(("x", "k")) == 1  # inside a text: no table
    assert lines.of(("t", "u v", "k")) == 8
    assert lines.of(("y",)) == 1
    assert lines.of(("list", 0, "k")) == 12
    assert lines.of(("list", 1)) == 13
    assert lines.of(("list", 1, "k")) == 14
    assert lines.of(("list", 1, "absent")) == 13
    assert lines.of(()) == 1


@pytest.mark.parametrize(
    "before",
    [
        "# it's '''",
        '# """',
        "a = \"'''\"",
        'a = \'"""\'',
        'a = "\\\\"',
        "a = \"\\\"\" # '''",
        'a = """one line""" # "',
        "a = ''",
    ],
)
def test_quotes_in_comments_and_texts_open_nothing(before: str) -> None:
    text = f"{before}\n[t]\nk = 1\n"
    tomllib.loads(text)
    assert Lines(text).of(("t", "k")) == 3


def test_an_escaped_quote_does_not_end_a_long_text() -> None:
    text = 'a = """\n\\"""\n[no]\n"""\n[t]\nk = 1\n'
    assert tomllib.loads(text)["t"] == {"k": 1}
    assert Lines(text).of(("t", "k")) == 6 and Lines(text).of(("no",)) == 1


def test_the_wearers_body_mass(tmp_path: Path) -> None:
    assert read_config(_write(tmp_path, LEAST)).person.mass_kg == 0.0
    assert read_config(_write(tmp_path, LEAST + "[person]\nmass_kg = 72.5\n")).person.mass_kg == 72.5
    for text, words in (("mass_kg = 0", "it must be from 1 to 500"), ("", "[person] lacks 'mass_kg'")):
        with pytest.raises(InputError) as caught:
            read_config(_write(tmp_path, LEAST + f"[person]\n{text}\n"))
        assert words in str(caught.value)
