"""Raw surface EMG at 1 kHz from the net moments: activations that share them, then modulated noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.data.synthetic.curves import after_each, drift
from toolkit.data.synthetic.people import Person

Float = NDArray[np.float64]

#: EMG precedes force by tens of milliseconds (Cavanagh and Komi 1979, Eur J Appl Physiol 42:159).
DELAY_S = 0.06

# Rows: the nine muscles of toolkit.data.channels. Columns: hip flexion, hip extension, knee extension,
# knee flexion, plantarflexion, dorsiflexion. A muscle works for the moments it can make, by about its share
# of the physiological cross-section (Ward et al. 2009, Clin Orthop Relat Res 467:1074). Activation is this
# times the moment in Nm/kg.
# fmt: off
SHARE = np.array([
    [0.00, 0.00, 0.00, 0.00, 0.48, 0.00],  # soleus
    [0.00, 0.00, 0.00, 0.25, 0.42, 0.00],  # med_gas
    [0.00, 0.00, 0.00, 0.20, 0.38, 0.00],  # lat_gas
    [0.22, 0.00, 0.00, 0.00, 0.00, 1.30],  # tib_ant: also lifts the foot while the hip swings the leg
    [0.00, 0.42, 0.00, 0.70, 0.00, 0.00],  # semimem
    [0.00, 0.48, 0.00, 0.60, 0.00, 0.00],  # bifemlh
    [0.00, 0.03, 0.70, 0.00, 0.00, 0.00],  # vas_lat
    [0.30, 0.00, 0.45, 0.00, 0.00, 0.00],  # rect_fem
    [0.00, 0.03, 0.65, 0.00, 0.00, 0.00],  # vas_med
])
# Neighbours under the skin whose signal leaks into the electrode, as a fraction of amplitude.
NEIGHBOURS = ((0, 1), (0, 2), (1, 2), (3, 0), (4, 5), (6, 7), (7, 8), (6, 8))
# fmt: on
CROSSTALK = 0.08
# A muscle's activation for the opposite moment, as a share of that for its own; and its tone at rest.
COCONTRACTION = 0.05
REST = 0.02
BAND_HZ = (20.0, 450.0)


def activations(moments: Float) -> Float:
    """Activations (n, 9) in [0, 1] of ``moments`` (n, 3) Nm/kg, with some of the antagonist's."""
    hip, knee, ankle = moments.T
    work = np.stack([hip, -hip, knee, -knee, -ankle, ankle], axis=1)
    direct = np.maximum(work, 0.0)
    opposite = np.maximum(-work, 0.0)
    drive = (direct + COCONTRACTION * opposite) @ SHARE.T + REST
    # Saturates smoothly below 1.
    result: Float = np.tanh(drive)
    return result


def coloured_noise(rng: np.random.Generator, samples: int, columns: int, rate_hz: float) -> Float:
    """Gaussian noise of unit variance with a surface EMG's spectrum, shape (samples, columns).

    The shape is that of Shwedyk, Balasubramanian and Scott (1977, IEEE Trans Biomed Eng 24:417) with
    corners at 60 and 120 Hz, cut to the band of the amplifier.
    """
    white = rng.standard_normal((samples, columns))
    f = np.fft.rfftfreq(samples, 1.0 / rate_hz)
    low, high = 60.0, 120.0
    shape = high**2 * f / np.sqrt((f**2 + low**2) * (f**2 + high**2) ** 2)
    shape[(f < BAND_HZ[0]) | (f > BAND_HZ[1])] = 0.0
    noise: Float = np.fft.irfft(np.fft.rfft(white, axis=0) * shape[:, None], samples, axis=0)
    noise /= noise.std(axis=0)
    return noise


def raw_emg(
    rng: np.random.Generator,
    person: Person,
    activation: Float,
    time_s: Float,
    heel_strikes_s: Float,
    rate_hz: float,
) -> Float:
    """Raw EMG (n, 9) in mV at ``time_s`` from ``activation`` (n, 9) at the same times."""
    columns = activation.shape[1]
    effort = np.stack([1.0 + drift(rng, time_s, 0.06, 0.3) for _ in range(columns)], axis=1)
    source = activation * person.emg_share * effort * coloured_noise(rng, len(time_s), columns, rate_hz)
    mixed = source.copy()
    for one, other in NEIGHBOURS:
        mixed[:, one] += CROSSTALK * source[:, other]
        mixed[:, other] += CROSSTALK * source[:, one]
    # Cables swing at footfall: a damped 8 Hz movement of the baseline, of its own size at each step.
    artefact = np.zeros_like(mixed)
    for rows, after in after_each(time_s, heel_strikes_s, 0.06):
        pulse = np.sin(2 * np.pi * 8.0 * after) * np.exp(-after / 0.06)
        artefact[rows] += np.outer(pulse, rng.normal(0.0, 0.05, columns))
    floor = 0.006 * rng.standard_normal(mixed.shape)
    return mixed * person.emg_gain_mv + artefact + floor
