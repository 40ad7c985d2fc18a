// A run that is watched: its progress as it comes, its result when it has ended.
"use strict";

const size = (n) => {
  if (n < 1e3) return `${n} B`;
  const [unit, divisor] = n < 1e6 ? ["kB", 1e3] : n < 1e9 ? ["MB", 1e6] : n < 1e12 ? ["GB", 1e9] : ["TB", 1e12];
  return `${(Math.floor((n * 10) / divisor) / 10).toFixed(1)} ${unit}`;
};
const count = (n) => n.toLocaleString("en-US");
const files = (n) => (n === 1 ? "1 file" : `${count(n)} files`);
const span = (s) => {
  if (s < 1) return "under 1 s";
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  const hours = Math.floor(s / 3600);
  const minutes = Math.floor((s % 3600) / 60);
  if (hours >= 24) return `${Math.round(s / 86400)} d`;
  return hours < 10 && minutes > 0 ? `${hours} h ${minutes} min` : `${hours} h`;
};

function say(text) {
  const said = document.getElementById("said");
  if (said.textContent !== text) said.textContent = text;
}

function showRun(panel, run) {
  const put = (name, text) => {
    const field = panel.querySelector(`[data-field="${name}"]`);
    if (field.textContent !== text) field.textContent = text;
    return field;
  };
  const paused = run.outcome === "paused";
  put("outcome", run.outcome).className = `mark ${run.outcome}`;
  for (const form of panel.querySelectorAll("form[data-when]")) form.hidden = form.dataset.when !== run.outcome;
  for (const cell of document.querySelectorAll("[data-count]")) {
    const sum = run[cell.dataset.count];
    cell.textContent = `${files(sum.files)}, ${size(sum.bytes)}`;
  }
  const progress = run.progress;
  if (!progress) return;
  const { done, total } = progress;
  const [part, whole] = total.bytes > 0 ? [done.bytes, total.bytes] : [done.files, total.files];
  const percent = whole > 0 ? Math.min(100, Math.floor((part * 100) / whole)) : 0;
  const place = [progress.scope && `scope ${progress.scope}`, progress.store && `store ${progress.store}`];
  const begun = progress.phase || (paused ? "waiting to go on" : "beginning");
  const phase = [begun, ...place.filter(Boolean)].join(", ");
  put("phase", phase);
  const bar = panel.querySelector("progress");
  bar.max = Math.max(1, whole);
  bar.value = part;
  put("percent", `${percent}%`);
  put("files", count(done.files));
  put("files-ahead", count(total.files));
  put("bytes", size(done.bytes));
  put("bytes-ahead", size(total.bytes));
  put("rate", `${size(paused ? 0 : progress.rate)}/s`);
  put("left", paused || progress.seconds_left == null ? "–" : span(progress.seconds_left));
  // Phases are told aloud, figures are not.
  say(paused ? "The run is paused." : `Phase: ${begun}`);
}

async function showEnd(panel, run) {
  const box = document.getElementById("run");
  const hadFocus = box.contains(document.activeElement);
  document.querySelector(".badge.live")?.remove();
  document.querySelector("main > .note.good")?.remove();
  box.dataset.load = `/fragments/vacuum/runs/${panel.dataset.run}`;
  await fill(box);
  delete box.dataset.load;
  say(`The run has ended: ${run.outcome}.`);
  if (hadFocus) document.querySelector("h1").focus();
}

/** Says why nothing comes any more: an event source does not tell what it was answered. */
async function brokenOff(panel) {
  let error = new Error("the server no longer tells");
  try {
    await textOf(await fetch(`/fragments/vacuum/runs/${panel.dataset.run}`));
  } catch (caught) {
    error = caught;
  }
  const note = noted(error, "Progress is no longer shown live. Reload the page.");
  say(note.textContent);
  panel.prepend(note);
}

function follow(panel) {
  const events = new EventSource(`/api/v1/vacuum/runs/${panel.dataset.run}/events`);
  events.addEventListener("progress", (event) => showRun(panel, JSON.parse(event.data)));
  events.addEventListener("finished", (event) => {
    events.close();
    showEnd(panel, JSON.parse(event.data));
  });
  events.addEventListener("error", () => {
    // The browser tries again by itself, unless the server refuses.
    if (events.readyState === EventSource.CLOSED) brokenOff(panel);
  });
  addEventListener("pagehide", () => events.close());
}

for (const panel of document.querySelectorAll("[data-run]")) follow(panel);
