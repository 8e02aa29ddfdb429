// Calibrating the session from the page: begin, what to do now, give up. The daemon judges the steps; this shows them.

const ASK = {
  stand: "Stand still.",
  swing: "Stand on the other leg and swing this one from the hip, knee straight, six times.",
  contract: "Contract each muscle as hard as you can against resistance, one after the other, then let go.",
  walk: "Now walk straight ahead at your usual pace, about ten strides.",
  done: "Done: working it out.",
};
const IDLE = "Stand still for three seconds, then walk ten strides.";

const page = (id) => document.getElementById(id);

let refused = "";
let running = false;

const tell = async (path, value) => {
  refused = "";
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(value),
    });
    if (!answer.ok) refused = (await answer.text()).replace("edgetool: ", "").trim();
  } catch {
    refused = "the daemon does not answer";
  }
};

const words = (now) => {
  if (refused) return refused;
  if (now.running) return [ASK[now.step] ?? now.step, now.message].filter(Boolean).join(" ");
  return now.message || IDLE;
};

export const showCalibration = (status) => {
  const now = status.calibration;
  page("calibration").hidden = now === null;
  if (now === null) return;
  running = now.running;
  const text = words(now);
  // Written only when it changes: a screen reader would say it twice a second.
  if (page("calibration-ask").textContent !== text) page("calibration-ask").textContent = text;
  page("calibration-ask").classList.toggle("trouble-words", Boolean(refused) || now.failed || (running && Boolean(now.message)));
  page("calibration-share").hidden = !running;
  page("calibration-share").value = now.share;
  page("calibration-who").hidden = running;
  page("calibration-more").hidden = running;
  const act = running ? "Give up" : now.message ? "Calibrate again" : "Calibrate";
  page("calibration-go").textContent = act;
  page("calibration-go").setAttribute("aria-label", `${act}: the session's sensors`);
};

page("calibration").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) tell("/api/calibration/cancel", {});
  else tell("/api/calibration", {
    person: page("calibration-person").value,
    swing: page("calibration-swing").checked,
    contraction: page("calibration-contraction").checked,
  });
});
