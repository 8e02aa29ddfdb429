// The leg with its sensors: a tick, a cross or nothing yet on each IMU and electrode, and in words what is doubted.

import { nameWords } from "/words.js";

const SVG = "http://www.w3.org/2000/svg";

// A right leg from its right side, walking to the right; front is where x grows. Names are the contract's.
const SHAPES = [
  "M66 14C56 34 56 92 68 126C74 142 112 142 118 126C126 96 126 40 114 14C104 4 76 4 66 14Z",
  "M70 122C64 150 70 190 80 218C86 228 108 228 114 218C122 190 124 150 118 122C108 110 80 110 70 122Z",
  "M80 214C70 236 72 262 84 300C88 308 102 308 106 300C112 270 116 240 113 214C108 204 88 204 80 214Z",
  "M82 298C74 312 76 328 88 330L150 330C158 328 156 318 146 314C128 310 116 306 108 298C102 290 88 290 82 298Z",
];
const IMUS = { trunk: [92, 70], pelvis: [92, 118], thigh: [94, 160], shank: [93, 262], foot: [118, 319] };
const ELECTRODES = {
  rect_fem: [120, 150], vas_lat: [121, 176], vas_med: [117, 202],
  semimem: [68, 160], bifemlh: [73, 188],
  tib_ant: [114, 244], med_gas: [74, 232], lat_gas: [73, 254], soleus: [77, 278],
};
const MARKS = { good: "M-4 0.5L-1 3.5L4.5 -3", bad: "M-3.5 -3.5L3.5 3.5M3.5 -3.5L-3.5 3.5", open: "M-3 0H3" };
const WORDS = { good: "as calibrated", bad: "doubted", open: "not judged yet" };

const draw = (tag, attributes, ...children) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

const kindOf = (sensor, judged) => (sensor.doubts.length ? "bad" : judged ? "good" : "open");
const label = (sensor) => (sensor.kind === "imu" ? `${nameWords(sensor.name)} IMU` : nameWords(sensor.name));

const mark = (sensor, kind, [x, y]) => {
  const shape =
    sensor.kind === "imu"
      ? draw("rect", { x: -9, y: -9, width: 18, height: 18, rx: 4 })
      : draw("circle", { r: 8 });
  const title = draw("title", {});
  title.textContent = `${label(sensor)}: ${WORDS[kind]}`;
  return draw("g", { transform: `translate(${x} ${y})`, class: `mark ${kind}` }, title, shape, draw("path", { d: MARKS[kind] }));
};

// The places that the figure has; sensors elsewhere are in the list alone.
const placeOf = (sensor) => (sensor.kind === "imu" ? IMUS : ELECTRODES)[sensor.name];

const summary = (status) => {
  const bad = status.sensors.filter((sensor) => sensor.doubts.length);
  if (bad.length) return `The leg and its sensors. Doubted: ${bad.map(label).join(", ")}.`;
  return !status.judged
    ? "The leg and its sensors. None is judged yet."
    : `The leg and its sensors. All ${status.sensors.length} are as calibrated.`;
};

export const sensorWords = (status) => {
  if (status.judged) return "held against the wearer's own walk, every two seconds";
  // A model that takes no calibration: its electrodes are listed where they hum, and nothing else is known of sensors.
  if (status.sensors.every((sensor) => sensor.doubts.length)) return "mains hum is found without a calibration";
  return status.reasons.includes("uncalibrated") ? "not judged: there is no calibration" : "not judged: nobody has walked yet";
};

// Draws into `svg` and fills the list `list` when something has changed; `make` makes elements of HTML.
let shown = "";
export const showLeg = (status, svg, list, make) => {
  const now = JSON.stringify([status.sensors, status.findings, status.judged]);
  if (now === shown) return;
  shown = now;
  svg.setAttribute("aria-label", summary(status));
  svg.replaceChildren(
    ...SHAPES.map((d) => draw("path", { d, class: "limb" })),
    ...status.sensors
      .filter(placeOf)
      .map((sensor) => mark(sensor, kindOf(sensor, status.judged), placeOf(sensor))),
  );
  const items = status.findings.map((finding) =>
    make("li", { class: "bad" }, make("b", { text: finding.kind }), ` ${finding.text}`),
  );
  const rest = status.sensors.filter((sensor) => !sensor.doubts.length);
  const word = status.judged ? "good" : "open";
  for (const [kind, name] of [["imu", "IMUs"], ["emg", "Electrodes"]]) {
    const names = rest.filter((sensor) => sensor.kind === kind).map((sensor) => nameWords(sensor.name));
    if (names.length) items.push(make("li", { class: word }, make("b", { text: `${name} ${WORDS[word]}` }), ` ${names.join(", ")}`));
  }
  list.replaceChildren(...items);
};
