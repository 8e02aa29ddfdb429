// Plots on canvases. Colours come from the style sheet, so that light and dark are one place.

import { STATES, fixed } from "/words.js";

const colours = new Map();

export const forgetColours = () => colours.clear();

export const colour = (name) => {
  if (!colours.has(name)) {
    colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  }
  return colours.get(name);
};

// A canvas fitted to its box and the screen's pixels, cleared: [context, width, height] in CSS pixels.
const prepare = (canvas) => {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const wide = Math.round(width * ratio);
  const high = Math.round(height * ratio);
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `11px ${colour("font")}`;
  return [context, width, height];
};

// Steps of 1, 2 or 5 times a power of ten, at most `most` of them.
const ticks = (low, high, most) => {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-9); k += 1) found.push(k * step);
  return found;
};

// Grows at once and shrinks slowly, so that the axis does not jump about.
export const easeRange = (range, low, high) => {
  const margin = Math.max((high - low) * 0.08, 0.02);
  const [wantLow, wantHigh] = [low - margin, high + margin];
  if (!range) return [wantLow, wantHigh];
  const ease = (now, want, grows) => (grows ? want : now + (want - now) * 0.01);
  return [ease(range[0], wantLow, wantLow < range[0]), ease(range[1], wantHigh, wantHigh > range[1])];
};

// What stands at the right end of a time axis: it stays where it is when the daemon is lost.
const newestWord = (alive) => (alive ? "now" : "last heard");

const SPAN_S = 10;
// Two moments further apart than this are not joined: nothing came between them.
const HOLE_S = 0.25;

// Bands where nothing may be used: hatched, so that they are told from the background without their colour.
const bands = (context, points, x, top, height, now) => {
  let start = null;
  const close = (end) => {
    const [left, right] = [x(start), x(end)];
    context.fillStyle = colour("band");
    context.fillRect(left, top, right - left, height);
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, height);
    context.clip();
    context.strokeStyle = colour("hatch");
    context.lineWidth = 1;
    context.beginPath();
    // Fixed to time, not to the screen: hatching that stood still while the curve moves would shimmer.
    const shift = (((now * 40) % 8) + 8) % 8;
    for (let at = left - height - 8 + ((8 - shift) % 8); at < right; at += 8) {
      context.moveTo(at, top + height);
      context.lineTo(at + height, top);
    }
    context.stroke();
    context.restore();
    start = null;
  };
  let before = null;
  for (const point of points) {
    const unusable = point.rank >= 2 || point.values.length === 0;
    if (unusable && start === null) start = before === null ? point.time : Math.max(before, point.time - HOLE_S);
    if (!unusable && start !== null) close(point.time);
    if (!unusable && before !== null && point.time - before > HOLE_S) {
      start = before;
      close(point.time);
    }
    before = point.time;
  }
  if (before !== null && start === null && now - before > HOLE_S) start = before;
  if (start !== null) close(now);
};

// One joint's moments. Points: {time, rank, values}. What is degraded is dashed and in its colour.
export const drawJoint = (canvas, points, place, range, now, alive) => {
  const [context, width, height] = prepare(canvas);
  const [left, right, top, bottom] = [40, 8, 6, 18];
  const x = (time) => left + ((time - now + SPAN_S) / SPAN_S) * (width - left - right);
  const y = (value) => top + ((range[1] - value) / (range[1] - range[0])) * (height - top - bottom);
  context.lineWidth = 1;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const value of ticks(range[0], range[1], Math.max(2, Math.floor((height - top - bottom) / 28)))) {
    const zero = Math.abs(value) < 1e-9;
    context.strokeStyle = colour(zero ? "axis" : "grid");
    context.beginPath();
    context.moveTo(left, Math.round(y(value)) + 0.5);
    context.lineTo(width - right, Math.round(y(value)) + 0.5);
    context.stroke();
    context.fillStyle = colour("faint");
    context.fillText(fixed(value, range[1] - range[0] > 1.5 ? 1 : 2), left - 6, y(value));
  }
  context.textBaseline = "alphabetic";
  for (const [ago, align] of [[10, "left"], [5, "center"], [0, "right"]]) {
    context.textAlign = align;
    context.fillText(ago ? `\u2212${ago} s` : newestWord(alive), x(now - ago), height - 3);
  }
  context.save();
  context.beginPath();
  context.rect(left, 0, width - left - right + 5, height - bottom);
  context.clip();
  bands(context, points, x, top, height - top - bottom, now);
  context.globalAlpha = alive ? 1 : 0.35;
  context.lineJoin = "round";
  let style = -1;
  let before = null;
  for (const point of points) {
    const usable = point.values.length > 0 && point.rank < 2;
    const joined = before !== null && point.time - before.time < HOLE_S;
    if (style !== (usable ? point.rank : -1) || !joined) {
      if (style >= 0) context.stroke();
      style = usable ? point.rank : -1;
      context.strokeStyle = colour(style === 1 ? "degraded-line" : "line");
      context.lineWidth = style === 1 ? 1.5 : 2;
      context.setLineDash(style === 1 ? [5, 3] : []);
      context.beginPath();
      if (usable && joined && before.values.length) context.moveTo(x(before.time), y(before.values[place]));
    }
    if (usable) context.lineTo(x(point.time), y(point.values[place]));
    before = point;
  }
  if (style >= 0) context.stroke();
  context.setLineDash([]);
  if (before !== null && style >= 0 && alive) {
    context.fillStyle = colour(style === 1 ? "degraded-line" : "line");
    context.beginPath();
    context.arc(x(before.time), y(before.values[place]), 3.5, 0, 2 * Math.PI);
    context.fill();
  }
  context.restore();
};

// Channels of one unit over each other. Rows: {time, values}; places: which of the values.
export const drawSpark = (canvas, rows, places, now, alive) => {
  const [context, width, height] = prepare(canvas);
  let [low, high] = [Infinity, -Infinity];
  for (const row of rows) {
    for (const place of places) {
      const value = row.values[place];
      if (value === null || value === undefined) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (!(high >= low)) return null;
  const margin = Math.max((high - low) * 0.06, 1e-9);
  const y = (value) => 2 + ((high + margin - value) / (high - low + 2 * margin)) * (height - 4);
  const x = (time) => ((time - now + SPAN_S) / SPAN_S) * width;
  context.lineWidth = 1.25;
  context.lineJoin = "round";
  places.forEach((place, k) => {
    context.strokeStyle = colour(`series-${k % 6}`);
    context.globalAlpha = alive ? 0.85 : 0.3;
    context.beginPath();
    let before = null;
    for (const row of rows) {
      const value = row.values[place];
      if (value === null || value === undefined) continue;
      if (before === null || row.time - before > 1) context.moveTo(x(row.time), y(value));
      else context.lineTo(x(row.time), y(value));
      before = row.time;
    }
    context.stroke();
  });
  context.globalAlpha = 1;
  return [low, high];
};

// A lane for each state, so that position says it and colour only helps. Changes: {time, rank}.
export const drawTimeline = (canvas, changes, now, spanS, alive) => {
  const [context, width, height] = prepare(canvas);
  const [left, right, bottom] = [66, 2, 18];
  const lane = (height - bottom) / STATES.length;
  const x = (time) => left + Math.max(0, (time - now + spanS) / spanS) * (width - left - right);
  context.textBaseline = "middle";
  STATES.forEach((state, rank) => {
    context.fillStyle = colour("track");
    context.fillRect(left, rank * lane + 2, width - left - right, lane - 4);
    context.textAlign = "left";
    context.fillStyle = colour("quiet");
    context.fillText(state, 0, rank * lane + lane / 2);
  });
  changes.forEach((change, k) => {
    const until = k + 1 < changes.length ? changes[k + 1].time : now;
    if (until < now - spanS) return;
    context.fillStyle = colour(STATES[change.rank]);
    const from = x(change.time);
    context.fillRect(from, change.rank * lane + 2, Math.max(1.5, x(until) - from), lane - 4);
  });
  context.fillStyle = colour("faint");
  context.textBaseline = "alphabetic";
  const words = [spanS, spanS / 2].map((each) => (each < 60 ? `\u2212${each} s` : `\u2212${each / 60} min`));
  context.textAlign = "left";
  context.fillText(words[0], left, height - 3);
  context.textAlign = "center";
  context.fillText(words[1], left + (width - left - right) / 2, height - 3);
  context.textAlign = "right";
  context.fillText(newestWord(alive), width - right, height - 3);
};

// Bars of equal width, one a bucket, with the period of the grid marked. Heights go by the root, so that a single late
// moment among a million is seen.
export const drawHistogram = (canvas, histogram, periodMs) => {
  const [context, width, height] = prepare(canvas);
  const { bounds_ms: bounds, counts } = histogram;
  const bottom = 18;
  const each = width / counts.length;
  const most = Math.max(1, ...counts);
  const floor = height - bottom;
  counts.forEach((number, k) => {
    const above = k > 0 ? bounds[k - 1] : 0;
    context.fillStyle = colour(above >= periodMs ? "degraded" : "line");
    const high = number ? Math.max(2, Math.sqrt(number / most) * (floor - 14)) : 0;
    context.fillRect(k * each + 1, floor - high, each - 2, high);
    context.fillStyle = colour("track");
    if (!number) context.fillRect(k * each + 1, floor - 1, each - 2, 1);
  });
  context.fillStyle = colour("faint");
  context.textAlign = "center";
  const every = each < 24 ? 4 : each < 36 ? 2 : 1;
  bounds.forEach((bound, k) => {
    if (k % every === 0) context.fillText(bound >= 1000 ? `${bound / 1000} s` : String(bound), (k + 1) * each, height - 3);
  });
  const exact = bounds.findIndex((bound) => bound >= periodMs);
  if (exact >= 0) {
    const at = Math.round((exact + 1) * each) + 0.5;
    context.strokeStyle = colour("quiet");
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(at, 12);
    context.lineTo(at, floor);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colour("quiet");
    context.textAlign = at > width * 0.7 ? "right" : "left";
    context.fillText(`deadline ${periodMs} ms`, at + (at > width * 0.7 ? -5 : 5), 10);
  }
};
