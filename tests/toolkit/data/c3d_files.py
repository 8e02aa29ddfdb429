"""Small C3D trials whose every number a person can work out: a foot that steps onto a plate, with EMG and moments."""

from __future__ import annotations

from pathlib import Path

import numpy as np

RATE, PER_FRAME, FRAMES, FIRST = 100.0, 10, 200, 50
#: Frames of the right foot's two contacts; the second has no strike after it.
CONTACTS = ((30, 80), (130, 180))
#: Points (label -> (frames, 3) in mm) are made of these: z is up and the person walks along x at 1 m/s.
SEGMENTS = ("PEL", "RFE", "RTI", "RFO", "LFE", "LTI", "LFO")


def steps(contacts: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Place along x, mm: still in each contact, 1 m/s on average."""
    known = [0, *(frame for contact in contacts for frame in contact), FRAMES]
    middles = [10.0 * (first + last) / 2 for first, last in contacts]
    places = [middles[0] - 500, *np.repeat(middles, 2), middles[-1] + 500]
    return np.interp(np.arange(FRAMES), known, places)


def points() -> dict[str, np.ndarray]:
    """Pelvis at 1 m height and 1 m/s; right leg at y = -100 and left at y = 100, half a stride apart."""
    x = 10.0 * np.arange(FRAMES)
    places = {
        "R": (steps(CONTACTS), -100.0),
        "L": (steps(((-20, 30), (80, 130))), 100.0),
    }
    found: dict[str, np.ndarray] = {}
    for name in SEGMENTS:
        along, y = (x, 0.0) if name == "PEL" else places[name[0]]
        origin = np.stack(
            [along, np.full(FRAMES, y), np.full(FRAMES, 1000.0 if name == "PEL" else 50.0)], axis=1
        )
        found[f"{name}O"] = origin
        found[f"{name}A"] = origin + np.array([100, 0, 0])
        found[f"{name}L"] = origin + np.array([0, 100, 0])
        found[f"{name}P"] = origin + np.array([0, 0, 100])
    for side in "RL":
        found[f"{side}HEE"] = found[f"{side}FOO"] + [-50, 0, 0]
        found[f"{side}TOE"] = found[f"{side}FOO"] + np.array([100, 0, 0])
        moment = np.zeros((FRAMES, 3))
        moment[:, 0] = np.arange(FRAMES)  # N mm / kg
        found[f"{side}AnkleMoment"] = moment
    return found


def force() -> np.ndarray:
    """Force (rows, 6) of the one plate: 500 N down while the right foot is on it."""
    rows = np.zeros((FRAMES * PER_FRAME, 6))
    first, last = CONTACTS[0]
    rows[first * PER_FRAME : (last + 1) * PER_FRAME, 2] = 500.0
    return rows


def write_trial(
    path: Path,
    *,
    emg: dict[str, np.ndarray] | None = None,
    hide: dict[str, slice] | None = None,
    drop: tuple[str, ...] = (),
    changed: dict[str, np.ndarray] | None = None,
    mass_kg: float | None = 40.0,
    plate_rows: np.ndarray | None = None,
) -> Path:
    """A trial in ``path``; ``hide`` makes points unseen in some frames, ``drop`` leaves points out."""
    import ezc3d

    file = ezc3d.c3d()
    shown = {name: values for name, values in {**points(), **(changed or {})}.items() if name not in drop}
    stack = np.ones((4, len(shown), FRAMES))
    for place, (name, values) in enumerate(shown.items()):
        stack[:3, place] = values.T
        if name in (hide or {}):
            stack[:3, place, hide[name]] = np.nan  # type: ignore[index]
    file["parameters"]["POINT"]["RATE"]["value"] = [RATE]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(shown)
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["data"]["points"] = stack
    on_plate = force() if plate_rows is None else plate_rows
    names = ("Fx1", "Fy1", "Fz1", "Mx1", "My1", "Mz1")
    channels: dict[str, np.ndarray] = dict(zip(names, on_plate.T))
    units = ["N"] * 3 + ["Nmm"] * 3
    for name, values in (emg or {}).items():
        channels[name] = values
        units.append("V")
    file["parameters"]["ANALOG"]["RATE"]["value"] = [RATE * PER_FRAME]
    file["parameters"]["ANALOG"]["LABELS"]["value"] = list(channels)
    file["parameters"]["ANALOG"]["UNITS"]["value"] = units
    file["data"]["analogs"] = np.stack(list(channels.values()))[None]
    # The plate lies under the right foot's first contact: x from 350 to 750, y from -200 to 0.
    corners = np.array([[750, 0, 0], [750, -200, 0], [350, -200, 0], [350, 0, 0]], dtype=float)
    plates = {"CORNERS": corners.T[:, :, None], "ORIGIN": np.zeros((3, 1))}
    whole = {"USED": [1], "TYPE": [2], "ZERO": [1, 0], "CHANNEL": np.arange(1, 7)[:, None]}
    for name, value in {**plates, **whole}.items():
        file.add_parameter("FORCE_PLATFORM", name, np.asarray(value, np.float64))
    for name in whole:  # add_parameter makes floats of whole numbers
        file["parameters"]["FORCE_PLATFORM"][name]["type"] = 2
    file.add_parameter("EVENT", "USED", [1])
    file.add_parameter("EVENT", "LABELS", ["Foot Strike"])
    file.add_parameter("EVENT", "CONTEXTS", ["Right"])
    file.add_parameter("EVENT", "TIMES", np.array([[0.0], [(FIRST + CONTACTS[1][0]) / RATE]]))
    if mass_kg is not None:
        file.add_parameter("PROCESSING", "Bodymass", [mass_kg])
    file["header"]["points"]["first_frame"] = FIRST
    file.write(str(path))
    return path


TOML = """
format = "edgetool dataset 1"
kind = "virtual-imu"
source = "made by a test"
mass_kg = "PROCESSING:Bodymass"

[[recording]]
name = "one"
person = "p1"
task = "level"
sides = ["right"]
files = { trial = "trial.c3d" }

[moments]
file = "trial"
rate_hz = 100
unit = "Nm/kg"
channels = { ankle_dorsiflexion_moment = { column = "{S}AnkleMoment.x", scale = -0.001 } }

[emg]
file = "trial"
rate_hz = 1000
unit = "V"
dead_below = 0.001
railed_at = 1.25
channels = { soleus = "{S} Sol", tib_ant = "{S} Tib" }

[force_plates]
file = "trial"
unit = "mm"
up = "z"
foot = ["{S}HEE", "{S}TOE"]

[events]
file = "trial"
heel_strike = "Foot Strike"

[virtual_imu]
file = "trial"
rate_hz = 100
unit = "mm"
up = "z"

[[virtual_imu.frame]]
name = "pelvis"
origin = "PELO"
x = ["PELO", "PELA"]
y = ["PELO", "PELP"]

[[virtual_imu.frame]]
name = "foot"
origin = "{S}FOO"
x = ["{S}FOO", "{S}FOA"]
y = ["{S}FOO", "{S}FOP"]
sensor = [0.0, 0.0, 0.0]
"""
