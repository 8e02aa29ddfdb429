// Words and numbers as a person reads them. No figure without its unit.

export const STATES = ["ok", "degraded", "stale", "invalid"];

export const STATE_WORDS = { ok: "ok", degraded: "degraded", stale: "stale", invalid: "invalid" };

// What each reason of docs/DAEMON.md means, in words.
const REASONS = {
  gap: "samples are missing in the model's window and were filled in",
  saturated: "a sensor was at the end of its range",
  "not-finite": "a sensor sent values that are no numbers",
  flat: "a channel does not change: is its cable or electrode off?",
  "sensor-off": "a whole sensor does not change or is silent",
  "clock-uncertain": "the times of samples are not known well enough",
  reboot: "a node started anew",
  "warm-up": "the model's window is not full yet",
  late: "the newest sample is old: sensors or model are behind",
  waiting: "no sample has come yet",
  silent: "nothing comes any more",
  "contract-mismatch": "the sensors do not send what the model was made for",
  decimated: "the engine is slower than the rate: not every row is estimated",
  engine: "the inference engine failed",
  uncalibrated: "the model needs calibrated sensors and the session has no calibration",
  orientation: "a sensor is turned since calibration: has its strap slipped?",
  "unlike-training": "a sensor reads nothing of what it should there: is it in place?",
  gain: "an electrode gives more or less than at calibration",
  electrode: "an electrode does not follow its muscle: check its contact",
  hum: "an electrode picks up the mains: check its contact and cable",
  "late-stream": "the samples of one kind of sensor come late against the others",
  unfamiliar: "the movement is unlike all that the model has learnt",
  ended: "the sources have come to their end",
};

export const reasonWords = (reason) => REASONS[reason] ?? reason;

const UNITS = { "m/s^2": "m/s²", "1": "of full scale" };

export const unitWords = (unit) => UNITS[unit] ?? unit;

// hip_flexion -> Hip flexion
export const nameWords = (name) => {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
};

const MINUS = "\u2212";

// A number with so many digits after the point; a true minus sign; an en dash for what is not known.
export const fixed = (value, digits) =>
  value === null || value === undefined || !Number.isFinite(value)
    ? "–"
    : Number(value).toFixed(digits).replace("-", MINUS).replace(/^\u2212(0(?:\.0+)?)$/, "$1");

// Counts in groups of three, by thin spaces.
export const count = (value) =>
  value === null || value === undefined ? "–" : String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

// Milliseconds with about three digits.
export const ms = (value) => {
  if (value === null || value === undefined) return "–";
  return `${fixed(value, value < 1 ? 2 : value < 100 ? 1 : 0)} ms`;
};

// A bound: quantiles are known by the bucket they lie in.
export const most = (value) => (value === null || value === undefined ? "–" : `≤ ${ms(value)}`);

// Seconds as 12 s, 3 min 20 s, 5 h 12 min, 3 d 4 h.
export const span = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

export const bytes = (value) => {
  if (value === null || value === undefined) return "–";
  if (value < 1e6) return `${fixed(value / 1e3, 0)} kB`;
  return value < 1e9 ? `${fixed(value / 1e6, 1)} MB` : `${fixed(value / 1e9, 2)} GB`;
};
