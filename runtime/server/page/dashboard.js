// The dashboard: takes the daemon's events, keeps the last seconds of them, shows them; says so when they stop.

import { showCalibration } from "/calibration.js";
import { sensorWords, showLeg } from "/figure.js";
import { drawHistogram, drawJoint, drawSpark, drawTimeline, easeRange, forgetColours } from "/plots.js";
import { STATES, bytes, count, fixed, most, ms, nameWords, reasonWords, span, unitWords } from "/words.js";

const RECENT_S = 10;
// The shortest that holds all changes is shown.
const TIMELINES_S = [30, 60, 120, 300];
const TIMELINE_S = TIMELINES_S.at(-1);
// Ticks come 20 times a second. Two seconds without one: what is shown is no longer what is.
const LOST_MS = 2000;
// The daemon itself says within a fraction of a second that nothing comes. Should it not, no figure outlives this.
const FRESH_S = 1;
const GLYPHS = {
  ok: "M5 12.5l4.5 4.5L19 7.5",
  degraded: "M12 6v8M12 17.5v.6",
  stale: "M12 6.5V12l4 2.5",
  invalid: "M7 7l10 10M17 7L7 17",
  none: "M7 12h10",
};

const page = (id) => document.getElementById(id);
const now = () => performance.now() / 1000;

const seen = {
  status: null,
  state: null,
  reasons: [],
  inState: 0,
  // What is on the plots; the newest moment; when usable ones were published, for their rate.
  points: [],
  newest: null,
  published: [],
  streams: [],
  changes: [],
  ranges: [],
  missed: 0,
  sequence: null,
  // The daemon's time less ours.
  ahead: null,
  lastTick: null,
  uptime: null,
};

const daemonNow = () => (seen.ahead === null ? 0 : now() + seen.ahead);
const alive = () => seen.lastTick !== null && performance.now() - seen.lastTick < LOST_MS;

// ---- events ----

const begin = () => {
  Object.assign(seen, { points: [], newest: null, published: [], streams: [], changes: [], ranges: [], sequence: null, ahead: null });
};

const onHello = (hello) => {
  begin();
  tell(hello.now_s);
  takeMoments(hello.moments);
  seen.changes = hello.changes.map(([time, rank, reasons]) => ({ time, rank, reasons }));
};

const onTick = (tick) => {
  const first = seen.lastTick === null || !alive();
  seen.lastTick = performance.now();
  tell(tick.now_s);
  takeMoments(tick.moments);
  const changed = tick.state !== seen.state || tick.reasons.join() !== seen.reasons.join();
  Object.assign(seen, { state: tick.state, reasons: tick.reasons, inState: tick.in_state_s });
  takeStreams(tick.streams, tick.now_s);
  if (changed || first) showState();
  page("state-for").textContent = `for ${span(tick.in_state_s)}`;
  showValues();
};

const onStatus = (status) => {
  const fresh = seen.status === null || JSON.stringify(shape(seen.status)) !== JSON.stringify(shape(status));
  seen.status = status;
  if (fresh) build();
  showStatus();
};

// What the page's boxes are made for: when it changes they are made anew.
const shape = (status) => [status.model.outputs, status.streams.map((s) => [s.node, s.name, s.channels, s.units])];

// The clock: follows at once when it is off by more than a quarter second, otherwise slowly, so that curves glide.
const tell = (time) => {
  const ahead = time - now();
  seen.ahead = seen.ahead === null || Math.abs(ahead - seen.ahead) > 0.25 ? ahead : seen.ahead + (ahead - seen.ahead) * 0.1;
};

const takeMoments = (rows) => {
  for (const [sequence, published, rank, age, values, source, halfWidths] of rows) {
    if (seen.sequence !== null && sequence > seen.sequence + 1) seen.missed += sequence - seen.sequence - 1;
    seen.sequence = sequence;
    seen.newest = { rank, values, halfWidths: halfWidths ?? [], time: published };
    if (values.length) seen.published.push(published);
    const change = seen.changes.at(-1);
    if (!change || change.rank !== rank) seen.changes.push({ time: published, rank });
    // A curve is over the time its samples were taken: several rows come in one packet. A moment that says that nothing comes
    // stands at the time it says so, and one that rests on samples from before that came too late for the curve.
    const time = values.length ? source : published;
    if (time > (seen.points.at(-1)?.time ?? -Infinity)) seen.points.push({ time, rank, age, values });
  }
  while (seen.published.length && seen.published[0] < seen.published.at(-1) - 2) seen.published.shift();
  const oldest = (seen.points.at(-1)?.time ?? 0) - RECENT_S - 1;
  while (seen.points.length && seen.points[0].time < oldest) seen.points.shift();
  while (seen.changes.length > 1 && seen.changes[1].time < daemonNow() - TIMELINE_S) seen.changes.shift();
};

const takeStreams = (streams, time) => {
  streams.forEach((values, k) => {
    seen.streams[k] ??= [];
    if (values.length) seen.streams[k].push({ time, values });
    while (seen.streams[k].length && seen.streams[k][0].time < time - RECENT_S - 1) seen.streams[k].shift();
  });
};

// ---- boxes ----

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

const build = () => {
  const { model, streams } = seen.status;
  page("joints").replaceChildren(...model.outputs.map(jointBox));
  page("streams").replaceChildren(...streams.map(streamBox));
  seen.ranges = [];
};

const jointBox = (name, place) =>
  make(
    "figure",
    { class: "joint" },
    make(
      "figcaption",
      {},
      make("span", { class: "name", text: nameWords(name) }),
      make("span", { class: "value" }, make("b", { id: `value-${place}`, text: "–" }), make("span", { id: `half-width-${place}`, class: "half-width" }), " Nm/kg", make("span", { id: `nm-${place}` })),
    ),
    make("canvas", { id: `joint-${place}`, role: "img", "aria-label": `${nameWords(name)} moment over the last 10 seconds` }),
  );

const unitGroups = (stream) => {
  const groups = new Map();
  stream.units.forEach((unit, place) => groups.set(unit, [...(groups.get(unit) ?? []), place]));
  return [...groups];
};

const streamBox = (stream, k) =>
  make(
    "article",
    { class: "stream" },
    make("h3", {}, stream.name, make("small", { text: ` ${stream.node}` })),
    make("dl", { class: "pairs", id: `stream-${k}` }),
    make(
      "div",
      { class: "sparks" },
      ...unitGroups(stream).map(([unit, places], group) =>
        make(
          "figure",
          { class: "spark" },
          make(
            "figcaption",
            {},
            `${places.length} channel${places.length > 1 ? "s" : ""}, ${unitWords(unit)} `,
            make("span", { class: "range", id: `range-${k}-${group}` }),
          ),
          make("canvas", { id: `spark-${k}-${group}`, role: "img", "aria-label": `${stream.name}, ${unitWords(unit)}, last 10 seconds` }),
        ),
      ),
    ),
    make(
      "details",
      {},
      make("summary", { text: `Newest sample, ${stream.channels.length} channel${stream.channels.length > 1 ? "s" : ""}` }),
      make("dl", { class: "channels", id: `channels-${k}` }),
    ),
  );

// ---- text ----

const pairs = (list, rows) => {
  const wanted = rows.filter((row) => row !== null);
  // Written in place: a list that is made anew twice a second cannot be read by a screen reader, or marked with a mouse.
  while (list.children.length > wanted.length) list.lastChild.remove();
  while (list.children.length < wanted.length) list.append(make("div", {}, make("dt"), make("dd")));
  wanted.forEach(([term, text, kind], k) => {
    const row = list.children[k];
    const [dt, dd] = row.children;
    if (dt.textContent !== term) dt.textContent = term;
    if (dd.textContent !== text) dd.textContent = text;
    row.className = kind ?? "";
  });
};

const lines = (list, rows) => {
  while (list.children.length > rows.length) list.lastChild.remove();
  while (list.children.length < rows.length) {
    list.append(make("li", {}, make("span", { class: "mark" }), make("span", { class: "name" }), make("span", { class: "note" })));
  }
  rows.forEach(({ up, name, note }, k) => {
    const row = list.children[k];
    const [mark, title, words] = row.children;
    row.className = up ? "up" : "down";
    mark.textContent = up ? "up" : "down";
    title.textContent = name;
    words.textContent = note;
  });
};

const showState = () => {
  const state = alive() ? seen.state ?? "none" : "none";
  page("state").dataset.state = state;
  page("state-word").textContent = alive() ? state : "not known";
  const glyph = page("glyph");
  glyph.innerHTML = "";
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [name, value] of [["cx", 12], ["cy", 12], ["r", 11]]) circle.setAttribute(name, value);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", GLYPHS[state]);
  glyph.append(circle, path);
  const reasons = alive() ? seen.reasons : [];
  page("reasons").replaceChildren(
    ...reasons.map((reason) => make("li", {}, make("b", { text: reason }), ` ${reasonWords(reason)}`)),
    ...(alive() && state === "ok" ? [make("li", { class: "quiet", text: "nothing is missing for long, saturated or late" })] : []),
  );
  document.title = alive() ? `${state}: edgetool` : "lost: edgetool";
};

const showValues = () => {
  const { newest } = seen;
  const fresh = alive() && newest !== null && daemonNow() - newest.time < FRESH_S;
  const usable = fresh && newest.values.length > 0 && newest.rank < 2;
  seen.status?.model.outputs.forEach((_, place) => {
    const box = page(`value-${place}`);
    if (box) box.textContent = usable ? fixed(newest.values[place], 2) : "–";
    const nm = page(`nm-${place}`);
    if (nm && seen.status.mass_kg) nm.textContent = usable ? ` · ${fixed(newest.values[place] * seen.status.mass_kg, 1)} Nm` : "";
    const bar = page(`half-width-${place}`);
    if (bar) bar.textContent = usable && newest.halfWidths.length ? ` ± ${fixed(newest.halfWidths[place], 2)}` : "";
  });
};

const showStatus = () => {
  const { status } = seen;
  page("labels").textContent = Object.values(status.labels).join(" · ");
  showFigures(status);
  pairs(
    page("totals"),
    STATES.map((state) => [state, `${span(status.state_seconds[state])}, ${count(status.state_moments[state])} moments`, state]),
  );
  showAges(status);
  page("leg-card").hidden = status.sensors.length === 0;
  page("leg-note").textContent = sensorWords(status);
  showLeg(status, page("leg"), page("findings"), make);
  showCalibration(status);
  status.streams.forEach(showStream);
  lines(page("links"), status.links.map((link) => ({ up: link.up, name: link.name, note: link.up ? "" : link.reason })));
  showLedger(status.nodes);
  const rejected = Object.entries(status.rejected);
  page("rejected").textContent = rejected.length
    ? `Not handed on: ${rejected.map(([reason, number]) => `${count(number)} ${reason}`).join(", ")}.`
    : "";
  lines(page("sinks"), status.sinks.map(sinkLine));
  page("sinks").classList.toggle("none", status.sinks.length === 0);
  showModel(status);
  showMachine(status);
};

const sinkLine = (sink) => ({
  up: sink.trouble === null,
  name: sink.name,
  note: `${count(sink.published)} published, ${count(sink.dropped)} dropped${sink.trouble ? `. ${sink.trouble}` : ""}`,
});

const rate = () => {
  // Over the last two seconds up to now: a rate that ends with the newest moment would never fall to nothing.
  const since = daemonNow() - 2;
  const recent = seen.published.filter((time) => time > since);
  return recent.length > 1 ? recent.length / 2 : null;
};

const showFigures = (status) => {
  pairs(page("figures"), [
    ["Age, p50", most(status.age.p50_ms)],
    ["Age, p99", most(status.age.p99_ms)],
    ["Moments", rate() === null ? "–" : `${fixed(rate(), 0)} / s`],
    ["Clock error", status.clock_error_ms === null ? "–" : `± ${ms(status.clock_error_ms)}`],
    ["Running", span(status.uptime_s)],
    ["First moment", status.first_moment_s === null ? "–" : `after ${fixed(status.first_moment_s, 2)} s`],
    status.contract_trouble === null ? null : ["Contract", status.contract_trouble, "trouble wide"],
  ]);
};

const showAges = (status) => {
  pairs(page("quantiles"), [
    ["p50", most(status.age.p50_ms)],
    ["p99", most(status.age.p99_ms)],
    ["longest", status.age.counts.some(Boolean) ? ms(status.age.largest_ms) : "–"],
    ["deadlines missed", count(status.deadlines_missed), status.deadlines_missed ? "trouble" : ""],
  ]);
  const total = status.age.counts.reduce((sum, each) => sum + each, 0);
  page("ages-note").textContent =
    `${count(total)} moments since the start, by age in ms (bar height: square root of the count). ` +
    `Sample taken to moment out: p50 ${most(status.source_age.p50_ms)}, p99 ${most(status.source_age.p99_ms)}.`;
  page("ages").setAttribute("aria-label", `Histogram of ages: half at most ${ms(status.age.p50_ms)}, 99 of 100 at most ${ms(status.age.p99_ms)}`);
};

const showStream = (stream, k) => {
  const slow = stream.measured_hz !== null && Math.abs(stream.measured_hz / stream.nominal_hz - 1) > 0.05;
  const silent = stream.silent_ms === null || stream.silent_ms > 500;
  const node = seen.status.nodes.find((each) => each.name === stream.node);
  const share = stream.rows ? (100 * stream.rows_in_gaps) / stream.rows : null;
  pairs(page(`stream-${k}`), [
    ["Rate", `${fixed(stream.measured_hz, 1)} of ${fixed(stream.nominal_hz, 0)} Hz`, slow ? "trouble" : ""],
    ["Newest packet", stream.silent_ms === null ? "none yet" : `${ms(stream.silent_ms)} ago`, silent ? "trouble" : ""],
    ["Clock error", node?.clock_error_ms == null ? "–" : `± ${ms(node.clock_error_ms)}${node.clock_synced ? "" : " (assumed)"}`],
    ["Rows in gaps", `${count(stream.rows_in_gaps)} of ${count(stream.rows)}${share === null ? "" : ` (${fixed(share, 2)} %)`}`],
    stream.rows_saturated ? ["At full scale", `${count(stream.rows_saturated)} rows`, "trouble"] : null,
    stream.rows_not_finite ? ["Not finite", `${count(stream.rows_not_finite)} rows`, "trouble"] : null,
  ]);
  pairs(
    page(`channels-${k}`),
    stream.channels.map((name, place) => [nameWords(name), `${fixed(stream.last[place], 3)} ${unitWords(stream.units[place])}`]),
  );
};

const LEDGER = ["sent", "delivered", "crc_failed", "gap", "duplicate", "reordered", "dropped_in_host"];
const HEADS = ["Node", "sent", "delivered", "CRC failed", "gap", "duplicate", "reordered", "dropped here", "clock error, ms", "clock rate, ppm", "reboots", "battery"];

const showLedger = (nodes) => {
  const body = page("ledger");
  while (body.children.length > nodes.length) body.lastChild.remove();
  while (body.children.length < nodes.length) {
    body.append(make("tr", {}, make("th", { scope: "row" }), ...HEADS.slice(1).map((head) => make("td", { "data-head": head }))));
  }
  nodes.forEach((node, k) => {
    const cells = [
      node.name || `node ${node.node}`,
      ...LEDGER.map((term) => count(node.ledger[term])),
      node.clock_error_ms === null ? "–" : `± ${fixed(node.clock_error_ms, 2)}`,
      fixed(node.clock_skew_ppm, 1),
      count(node.reboots),
      node.battery_percent === null ? "–" : `${node.battery_percent} %`,
    ];
    cells.forEach((text, place) => {
      const cell = body.children[k].children[place];
      if (cell.textContent !== text) cell.textContent = text;
    });
  });
};

const showModel = (status) => {
  const { model, engine_time: engine } = status;
  pairs(page("model"), [
    ["Bundle", model.bundle],
    ["Manifest", model.hash.slice(0, 16)],
    ["Engine", `${model.engine} ${model.version}, ${model.scheme} ${model.graph}`],
    ["One call", `p50 ${most(engine.p50_ms)}, p99 ${most(engine.p99_ms)}`],
    ["Grid", `${fixed(model.grid_rate_hz, 0)} Hz, window ${model.window} rows${model.horizon_ms ? `, ${fixed(model.horizon_ms, 0)} ms ahead` : ""}`],
    model.every > 1 ? ["Decimation", `every ${model.every}. row only: the engine is too slow`, "trouble"] : null,
    status.rows_decimated ? ["Rows left out", count(status.rows_decimated), "trouble"] : null,
    ["Queue", `${count(status.queue_length)} wait, ${count(status.queue_dropped)} dropped`, status.queue_dropped ? "trouble" : ""],
    ["Reloads", `${count(model.reloads)}, refused ${count(model.reloads_refused)}`],
    model.reload_trouble === null ? null : ["Last reload", model.reload_trouble, "trouble wide"],
    ["edgetool", status.version],
  ]);
};

const throttling = (machine) => {
  if (!machine.throttling_known) return null;
  const words = (list) => list.map((each) => each.replaceAll("_", " ")).join(", ");
  if (machine.throttled_now.length) return ["Held back", `now: ${words(machine.throttled_now)}`, "trouble"];
  if (machine.throttled_since_start.length) return ["Held back", `not now; since power-on: ${words(machine.throttled_since_start)}`];
  return ["Held back", "never since power-on"];
};

const showMachine = (status) => {
  const { machine, recording } = status;
  const hot = machine.temperature_c !== null && machine.temperature_c >= 80;
  pairs(page("machine"), [
    machine.temperature_c === null ? null : ["Temperature", `${fixed(machine.temperature_c, 1)} °C`, hot ? "trouble" : ""],
    throttling(machine),
    ["Memory", bytes(machine.memory_bytes)],
    ["Processor", machine.cpu_share === null ? "–" : `${fixed(100 * machine.cpu_share, 0)} % of one core`],
    ["Recording", recording === null ? "none" : `${recording.file}, ${bytes(recording.bytes)}`],
    recording?.trouble ? ["Recording", recording.trouble, "trouble wide"] : null,
    ["Bytes in no frame", count(status.dropped_bytes)],
    status.undescribed ? ["Not described", `${count(status.undescribed)} packets`] : null,
    status.untimed ? ["Without a time", `${count(status.untimed)} packets`] : null,
    seen.missed ? ["Not seen by this page", `${count(seen.missed)} moments`] : null,
  ]);
};

// ---- frames ----

const draw = () => {
  const time = alive() ? daemonNow() : seen.points.at(-1)?.time ?? daemonNow();
  seen.status?.model.outputs.forEach((_, place) => {
    const canvas = page(`joint-${place}`);
    if (!canvas) return;
    let [low, high] = [0, 0];
    for (const point of seen.points) {
      if (!point.values.length || point.time < time - RECENT_S) continue;
      low = Math.min(low, point.values[place]);
      high = Math.max(high, point.values[place]);
    }
    seen.ranges[place] = easeRange(seen.ranges[place], low, high);
    drawJoint(canvas, seen.points, place, seen.ranges[place], time, alive());
  });
  const oldest = time - (seen.changes[0]?.time ?? time);
  const spanS = TIMELINES_S.find((each) => each >= oldest) ?? TIMELINE_S;
  const words = spanS < 120 ? `last ${spanS} s` : `last ${spanS / 60} minutes`;
  if (page("timeline-span").textContent !== words) page("timeline-span").textContent = words;
  drawTimeline(page("timeline"), seen.changes, time, spanS, alive());
  if (seen.status) drawHistogram(page("ages"), seen.status.age, 1000 / seen.status.model.grid_rate_hz);
  seen.status?.streams.forEach((stream, k) => {
    unitGroups(stream).forEach(([, places], group) => {
      const range = drawSpark(page(`spark-${k}-${group}`), seen.streams[k] ?? [], places, time, alive());
      const digits = range && range[1] - range[0] < 1 ? 3 : 1;
      page(`range-${k}-${group}`).textContent = range ? `${fixed(range[0], digits)} … ${fixed(range[1], digits)}` : "nothing came";
    });
  });
};

let drawn = 0;
const frame = (at) => {
  // 20 frames a second are enough for a chart, and spare a phone's battery.
  if (at - drawn >= 48) {
    drawn = at;
    draw();
  }
  requestAnimationFrame(frame);
};

// ---- link to the daemon ----

let shownLost = null;
const watch = () => {
  const link = alive() ? "live" : seen.lastTick === null ? "waiting" : "lost";
  document.body.dataset.link = link;
  const ago = seen.lastTick === null ? null : (performance.now() - seen.lastTick) / 1000;
  const words = { live: "live", waiting: "connecting", lost: "daemon lost" }[link];
  if (page("link").textContent !== words) page("link").textContent = words;
  page("lost").hidden = link !== "lost";
  if (link === "lost") {
    page("lost").textContent = `Daemon lost: nothing heard for ${span(ago)}. All that is shown is of then, not of now. Trying again.`;
  }
  if (shownLost !== link) {
    shownLost = link;
    showState();
    showValues();
    if (link !== "live") page("state-for").textContent = link === "lost" ? "the daemon does not answer" : "";
  }
};

let events = null;
const connect = () => {
  events?.close();
  events = new EventSource("/events");
  events.addEventListener("hello", (event) => onHello(JSON.parse(event.data)));
  events.addEventListener("tick", (event) => onTick(JSON.parse(event.data)));
  events.addEventListener("status", (event) => onStatus(JSON.parse(event.data)));
  events.onerror = () => {
    // A browser gives up for good when the answer is an error, such as 503 or 401: ask again ourselves.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
};

// ---- colours ----

const THEMES = { auto: "as the system has them", light: "light", dark: "dark" };

const applyTheme = (theme) => {
  document.documentElement.dataset.theme = theme;
  page("theme").textContent = theme;
  page("theme").setAttribute("aria-label", `${theme}: colours ${THEMES[theme]}`);
  forgetColours();
};

const stored = () => {
  try {
    const theme = localStorage.getItem("theme");
    return theme in THEMES ? theme : "auto";
  } catch {
    return "auto";
  }
};

page("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const theme = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  applyTheme(theme);
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Private windows may not store: then it lasts until the page is closed.
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forgetColours);

applyTheme(stored());
showState();
connect();
setInterval(watch, 100);
requestAnimationFrame(frame);
