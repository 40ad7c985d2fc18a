// Uploads on the page of a folder: chosen or dropped, each with its progress.
"use strict";

/** Uploads at a time; more would only share the same line. */
const AT_ONCE = 3;

function uploading(section) {
  const list = section.querySelector(".uploads");
  const waiting = [];
  let active = 0;
  let failed = 0;
  let done = 0;
  section.hidden = false;

  const say = (row, text, kind = "") => {
    row.status.textContent = text;
    row.item.className = kind;
  };

  /** Without a file it says `why` there is none. */
  function add(file, path, why) {
    const item = document.createElement("li");
    const name = document.createElement("bdi");
    name.textContent = path;
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Upload of ${path}`);
    const status = document.createElement("span");
    status.className = "quiet";
    const stop = document.createElement("button");
    stop.type = "button";
    stop.className = "small";
    stop.textContent = "Stop";
    stop.setAttribute("aria-label", `Stop ${path}`);
    item.append(name, bar, status, stop);
    list.append(item);
    const row = { file, path, item, bar, status, stop, replaces: false };
    if (!file) {
      bar.remove();
      return end(row, `it cannot be read: ${why}`, "bad");
    }
    stop.addEventListener("click", () => {
      if (row.request) row.request.abort();
      else {
        waiting.splice(waiting.indexOf(row), 1);
        end(row, "stopped", "bad");
      }
    });
    return queue(row);
  }

  function queue(row) {
    say(row, "waiting");
    waiting.push(row);
    next();
  }

  function next() {
    while (active < AT_ONCE && waiting.length > 0) send(waiting.shift());
  }

  function send(row) {
    active += 1;
    const request = new XMLHttpRequest();
    row.request = request;
    const path = (section.dataset.folder + row.path).split("/").map(encodeURIComponent).join("/");
    request.open("PUT", section.dataset.upload + path);
    // What is there already is replaced only when asked for.
    if (!row.replaces) request.setRequestHeader("If-None-Match", "*");
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable || event.total === 0) return;
      row.bar.value = event.loaded / event.total;
      say(row, event.loaded < event.total ? `${Math.floor((100 * event.loaded) / event.total)}%` : "being stored");
    });
    request.addEventListener("load", () => settle(row, request));
    request.addEventListener("error", () => end(row, "the connection broke", "bad", true));
    request.addEventListener("abort", () => end(row, "stopped", "bad", true));
    request.addEventListener("loadend", () => {
      active -= 1;
      row.request = undefined;
      next();
      if (active === 0 && waiting.length === 0) finished();
    });
    say(row, "0%");
    request.send(row.file);
  }

  function settle(row, request) {
    if (request.status === 200 || request.status === 201) {
      done += 1;
      row.bar.value = 1;
      let store = "";
      try {
        store = ` in ${JSON.parse(request.responseText).store}`;
      } catch {
        // An answer without a body says that it was stored all the same.
      }
      return end(row, `stored${store}`, "good");
    }
    if (request.status === 412 && !row.replaces) {
      end(row, "there is a file of this name already", "bad");
      return offer(row, "Replace it", () => (row.replaces = true));
    }
    if (request.status === 401) {
      end(row, "the session is over ", "bad", true);
      row.status.append(toTheDoor());
      return undefined;
    }
    let detail = `the server answered ${request.status}`;
    try {
      detail = JSON.parse(request.responseText).detail ?? detail;
    } catch {
      // Not from Hayloft itself: a proxy between us.
    }
    return end(row, detail, "bad", request.status >= 500 || request.status === 429);
  }

  function end(row, text, kind, again = false) {
    if (kind === "bad") failed += 1;
    say(row, text, kind);
    row.stop.remove();
    if (kind === "good") row.bar.remove();
    if (again) offer(row, "Try again", () => (row.bar.value = 0));
  }

  function offer(row, label, prepare) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small";
    button.textContent = label;
    button.setAttribute("aria-label", `${label}: ${row.path}`);
    button.addEventListener("click", () => {
      prepare();
      failed -= 1;
      button.remove();
      row.item.append(row.stop);
      queue(row);
    });
    row.item.append(button);
  }

  async function finished() {
    if (done > 0) await refresh();
    const left = failed > 0 ? `, ${failed} not` : "";
    if (done > 0) announce(`${done} uploaded${left}.`);
  }

  function announce(text) {
    let note = section.querySelector("[role=status]");
    if (!note) {
      note = document.createElement("p");
      note.className = "quiet";
      note.setAttribute("role", "status");
      section.append(note);
    }
    note.textContent = text;
  }

  section.querySelector("#choose-files").addEventListener("change", (event) => {
    for (const file of event.target.files) add(file, file.name);
    event.target.value = "";
  });
  section.querySelector("#choose-folder").addEventListener("change", (event) => {
    for (const file of event.target.files) add(file, file.webkitRelativePath || file.name);
    event.target.value = "";
  });

  // ---- dropping, anywhere on the page ----

  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let within = 0;
  window.addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    within += 1;
    section.classList.add("over");
  });
  window.addEventListener("dragleave", (event) => {
    if (!holdsFiles(event)) return;
    within -= 1;
    if (within <= 0) section.classList.remove("over");
  });
  window.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  window.addEventListener("drop", async (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    within = 0;
    section.classList.remove("over");
    // Entries are gone once this handler has returned.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const files = [...event.dataTransfer.files];
    if (entries.some((entry) => entry?.isDirectory)) {
      for (const entry of entries) if (entry) await walk(entry, add);
    } else {
      for (const file of files) add(file, file.name);
    }
  });

  window.addEventListener("beforeunload", (event) => {
    if (active > 0) event.preventDefault();
  });
}

/** All files below a dropped folder; the browser hands them out in portions. One that cannot be read keeps none of the others out. */
async function walk(entry, add) {
  const path = entry.fullPath.replace(/^\//, "");
  try {
    if (entry.isFile) {
      add(await new Promise((resolve, reject) => entry.file(resolve, reject)), path);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return;
      for (const inner of some) await walk(inner, add);
    }
  } catch (error) {
    add(undefined, path, error.message);
  }
}

/** Shows the folder as it is now. */
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("listing");
  const listing = document.getElementById("listing");
  if (!fresh || !listing) return;
  listing.replaceWith(document.adoptNode(fresh));
  enliven(fresh);
}

for (const section of document.querySelectorAll("[data-upload]")) uploading(section);
