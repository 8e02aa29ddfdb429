"""From a walk (and a stand) to a calibration: every IMU's rotation and bias, every EMG channel's gain, with a verdict each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolkit.calibration.contraction import contractions, require_stronger_than_walking
from toolkit.calibration.electrodes import amplitude, noise_floor
from toolkit.calibration.orientation import angle_deg, fit_rotation
from toolkit.calibration.reference import CalibrationReference
from toolkit.calibration.session import Calibration, EmgCalibration, ImuCalibration
from toolkit.calibration.strides import Strides, find_strides
from toolkit.calibration.swing import FARTHEST_DEG, swing_axes, with_swing
from toolkit.calibration.template import Placement, WalkTemplate, lay, place
from toolkit.calibration.verdict import judge_electrode, judge_imu, worst
from toolkit.data.channels import GRAVITY
from toolkit.data.imus import imus
from toolkit.errors import RecordingError
from toolkit.records import Signal

Float = NDArray[np.float64]

#: Fewer strides than this do not average a stumble out.
LEAST_STRIDES = 5
#: A stand of at least this long, s, in which no gyroscope turns faster than this, rad/s.
LEAST_STAND_S = 2.0
STILL_RAD_S = 0.2
#: The sensors fit another order of segments clearly better if what is left falls below this part of it.
_CLEARLY = 0.7


def walk_of(signal: Signal) -> tuple[dict[str, Float], Strides]:
    """Mean stride (PHASES, 6) of every IMU of ``signal`` by its segment, and the strides. RecordingError for too few."""
    found = imus(signal.spec)
    samples = np.asarray(signal.samples, np.float64)
    strides = find_strides(gyroscopes_of(signal), signal.spec.rate_hz)
    if len(strides) < LEAST_STRIDES:
        raise RecordingError(
            f"calibration needs at least {LEAST_STRIDES} regular strides and finds {len(strides)} in "
            f"{signal.duration_s:.0f} s; walk about ten strides straight ahead at a steady pace, and do it again"
        )
    mean = strides.resampled(samples).mean(axis=0)
    return {imu.segment: mean[:, imu.places] for imu in found}, strides


def stand_of(signal: Signal) -> Float:
    """What IMUs read over a stand, (IMUs, 6). RecordingError if it is too short or its wearer moved."""
    found = imus(signal.spec)
    samples = np.asarray(signal.samples, np.float64)
    if signal.duration_s < LEAST_STAND_S:
        raise RecordingError(
            f"the stand lasts {signal.duration_s:.1f} s; stand still for at least {LEAST_STAND_S:g} s, and do it again"
        )
    gyroscopes = gyroscopes_of(signal)
    moved = np.linalg.norm(gyroscopes - gyroscopes.mean(axis=0), axis=2)
    fastest = np.percentile(moved, 99, axis=0)
    worst = int(fastest.argmax())
    if fastest[worst] > STILL_RAD_S:
        raise RecordingError(
            f"the {found[worst].segment} moved while standing ({np.degrees(fastest[worst]):.0f} deg/s; at most "
            f"{np.degrees(STILL_RAD_S):.0f}); stand still and do it again"
        )
    return np.stack([samples[:, imu.places].mean(axis=0) for imu in found])


def calibrate(
    signals: Mapping[str, Signal],
    reference: CalibrationReference,
    *,
    person: str = "",
    stand: Signal | None = None,
    swing: Signal | None = None,
    contraction: Mapping[str, Signal] | None = None,
    created: str = "",
    nodes: Mapping[str, str] | None = None,
) -> Calibration:
    """The calibration of the walk in ``signals`` ({stream: samples}) on ``reference``.

    ``stand`` is the IMU stream while the person stands still: it gives each gyroscope's bias and gravity's residual; without it
    the biases are 0. ``swing`` is that stream while the leg swings from the hip: its axis makes the rotations of thigh and
    shank surer. ``contraction`` is {stream: samples} while every muscle is contracted as hard as can be: what walking takes of
    it is written down, and the gain stays the walk's, because that is what training people were scaled by. Raises
    RecordingError, in one line that says what to do, for a walk without enough strides, a stand that is none, and streams that
    the reference's sensors are not in.
    """
    inertial: tuple[ImuCalibration, ...] = ()
    warnings: list[str] = []
    strides: Strides | None = None
    if reference.template is not None:
        signal = _stream_with(signals, set(reference.template.segments))
        inertial, strides, said = _inertial(signal, reference.template, stand)
        inertial = inertial if swing is None else _swung(inertial, swing)
        warnings += said
    channels = _electric(signals, reference.amplitudes, strides)
    if contraction is not None:
        channels = _contracted(channels, contraction, reference.amplitudes)
    return Calibration(
        reference=reference.hash,
        person=person,
        strides=0 if strides is None else len(strides),
        imus=inertial,
        channels=channels,
        created=created,
        nodes=nodes,
        warnings=tuple(warnings),
    )


def gyroscopes_of(signal: Signal) -> Float:
    """The angular velocities of every IMU of ``signal``, (rows, IMUs, 3) in rad/s."""
    samples = np.asarray(signal.samples, np.float64)
    return np.stack([samples[:, imu.places[3:]] for imu in imus(signal.spec)], axis=1)


def _stream_with(signals: Mapping[str, Signal], segments: set[str]) -> Signal:
    for signal in signals.values():
        if segments <= {imu.segment for imu in imus(signal.spec)}:
            return signal
    raise RecordingError(
        f"no stream has IMUs on {', '.join(sorted(segments))}; the recording has {', '.join(signals)}: calibrate "
        "with the sensors that the model was trained with"
    )


def _inertial(
    signal: Signal, template: WalkTemplate, stand: Signal | None
) -> tuple[tuple[ImuCalibration, ...], Strides, list[str]]:
    found = {imu.segment: imu for imu in imus(signal.spec)}
    samples = np.asarray(signal.samples, np.float64)
    curves, strides = walk_of(signal)
    names = template.segments
    means = {} if stand is None else dict(zip((imu.segment for imu in imus(stand.spec)), stand_of(stand)))
    bias = {name: means[name][3:] if name in means else np.zeros(3) for name in names}
    sensors = [np.concatenate([curves[n][:, :3], curves[n][:, 3:] - bias[n]], axis=1) for n in names]
    curves_here = template.at(1.0 / strides.period_s)
    laid = place(sensors, curves_here, names)
    result = []
    for name, fit in zip(names, laid.fits):
        raw = samples[:, found[name].places]
        norm = None if name not in means else float(np.linalg.norm(means[name][:3])) - GRAVITY
        each = strides.resampled(raw - np.concatenate([np.zeros(3), bias[name]]))
        error = standard_error_deg(each, curves_here[name], laid.shift)
        verdict, advice = judge_imu(name, raw, fit, template.residuals[name], error, norm)
        result.append(
            ImuCalibration(
                segment=name,
                rotation=fit.rotation,
                bias=bias[name],
                gravity_residual=None if norm is None else round(norm, 4),
                uncertainty_deg=error,
                residual=fit.residual,
                verdict=verdict,
                advice=advice,
                found_by=f"rotation: walk, {len(strides)} strides; bias: {'stand' if name in means else 'not known, 0'}",
            )
        )
    return tuple(result), strides, _order_warnings(sensors, curves_here, laid)


def _swung(found: Sequence[ImuCalibration], swing: Signal) -> tuple[ImuCalibration, ...]:
    """With the flexion axis of the leg's swing, where the walk is the less sure of the two."""
    axes = swing_axes(swing, {one.segment: one.bias for one in found})
    result = []
    for one in found:
        if one.segment not in axes:
            result.append(one)
            continue
        axis = axes[one.segment]
        rotation, off_deg = with_swing(one.rotation, one.uncertainty_deg, axis)
        said = f"{axis.swings} swings of the leg, whose axis is {off_deg:.1f} degrees from the walk's"
        if off_deg > FARTHEST_DEG:
            verdict, advice = worst(
                (one.verdict, one.advice),
                (
                    "doubtful",
                    f"{one.segment} IMU: the leg swung about an axis {off_deg:.0f} degrees from the walk's, which is not used: "
                    "swing straight forward and back, and calibrate again",
                ),
            )
            result.append(
                replace(one, verdict=verdict, advice=advice, found_by=f"{one.found_by}; not used: {said}")
            )
            continue
        result.append(replace(one, rotation=rotation, found_by=f"{one.found_by}; flexion axis: {said}"))
    return tuple(result)


def _contracted(
    found: Sequence[EmgCalibration], signals: Mapping[str, Signal], usual: Mapping[str, float]
) -> tuple[EmgCalibration, ...]:
    """With what each muscle gave at most. RecordingError for one that walking asks more of."""
    contracted = contractions(signals)
    walked = {one.channel: usual[one.channel] / one.gain for one in found if one.verdict != "refused"}
    require_stronger_than_walking(contracted, walked)
    result = []
    for one in found:
        most = contracted.get(one.channel)
        if most is None or one.channel not in walked:
            result.append(one)
            continue
        said = (
            f"{one.found_by}, which takes {100 * walked[one.channel] / most:.0f} % of the maximal contraction"
        )
        result.append(replace(one, contraction=most, found_by=said))
    return tuple(result)


def standard_error_deg(each: Float, curve: Float, shift: int) -> float:
    """How far the rotation of the mean of strides ``each`` (strides, PHASES, 6) onto ``curve`` may be off, degrees: the
    jackknife's standard error (Tukey 1958; Efron 1982, SIAM CBMS 38), with one stride left out at a time.

    It agrees with the spread between walks of one person. The spread of single strides' rotations does not: a stride alone may
    fit upside down where its mean does not.
    """
    moved = np.roll(each, -shift, axis=1)
    total, count = moved.sum(axis=0), len(moved)
    whole = fit_rotation(total / count, curve).rotation.T
    off = [angle_deg(fit_rotation((total - one) / (count - 1), curve).rotation @ whole) for one in moved]
    return float(np.sqrt((count - 1) / count * np.sum(np.square(off))))


def _order_warnings(sensors: Sequence[Float], curves: Mapping[str, Float], laid: Placement) -> list[str]:
    """Do the sensors fit another order of segments better than the one they are configured with?"""
    best = place(sensors, curves)
    if best.order == laid.order or best.residual > _CLEARLY * laid.residual:
        return []
    moved = [f"{have} is on the {found}" for have, found in zip(laid.order, best.order) if have != found]
    return [f"the walk says that the sensors are swapped: {', '.join(moved)}"]


def assign(signal: Signal, template: WalkTemplate) -> tuple[Placement, float]:
    """Which sensor is on which segment, from the walk alone: the best order, and how sure it is.

    The sensors are the IMUs of ``signal`` in order of appearance; their names are not looked at. The
    second value is what is left with the best order over what is left with the next best one: near 1 means that the walk
    cannot tell.
    """
    walk, strides = walk_of(signal)
    sensors = list(walk.values())
    curves = template.at(1.0 / strides.period_s)
    best = place(sensors, curves)
    others = []
    for i in range(len(sensors)):
        for j in range(i + 1, len(sensors)):
            order = list(best.order)
            order[i], order[j] = order[j], order[i]
            others.append(lay(sensors, curves, best.shift, order).residual)
    return best, best.residual / max(min(others, default=float("inf")), 1e-9)


def _electric(
    signals: Mapping[str, Signal], amplitudes: Mapping[str, float], strides: Strides | None
) -> tuple[EmgCalibration, ...]:
    result = []
    for name, usual in amplitudes.items():
        signal = next((s for s in signals.values() if name in s.spec.channel_names), None)
        if signal is None:
            raise RecordingError(
                f"no stream has the EMG channel {name!r}; the recording has {', '.join(signals)}"
            )
        column = np.asarray(signal.samples[:, [signal.spec.channel_names.index(name)]], np.float64)
        result.append(_electrode(name, column, signal.spec.rate_hz, usual))
    return tuple(result)


def _electrode(name: str, column: Float, rate_hz: float, usual: float) -> EmgCalibration:
    reached, floor = float(amplitude(column, rate_hz)[0]), float(noise_floor(column, rate_hz)[0])
    halves = np.array_split(column, 4)
    spread = float(np.std([amplitude(half, rate_hz)[0] for half in halves]) / 2.0 / max(reached, 1e-30))
    verdict, advice = judge_electrode(name, column, reached, floor, spread)
    if reached <= 0.0:
        return EmgCalibration(name, 1.0, 0.0, floor, verdict, advice)
    return EmgCalibration(name, usual / reached, spread, floor, verdict, advice, found_by="gain: walk")
