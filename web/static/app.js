// The live parts of the admin page. Everything here is an addition: each page works without it.
"use strict";

// ---- fragments: <div data-load="/fragments/…"> is filled from there ----

async function fill(element) {
  const mine = turn(element);
  element.setAttribute("aria-busy", "true");
  try {
    const markup = await textOf(await fetch(element.dataset.load, { headers: { Accept: "text/html" } }));
    if (!isNewest(element, mine)) return;
    put(element, markup);
  } catch (error) {
    if (!isNewest(element, mine)) return;
    const why = `This part could not be loaded: ${error.message}. Reload the page to try again.`;
    element.replaceChildren(noted(error, why));
  }
  element.removeAttribute("aria-busy");
}

// Several may want to write into one element: only the one that came last does.
const turns = new WeakMap();

function turn(element) {
  const mine = (turns.get(element) ?? 0) + 1;
  turns.set(element, mine);
  return mine;
}

const isNewest = (element, mine) => turns.get(element) === mine;

function put(element, markup, told = ".says") {
  // Whoever is at a link of what is replaced stays at it.
  const held = element.contains(document.activeElement) && document.activeElement.getAttribute("href");
  element.innerHTML = markup;
  if (held) element.querySelector(`[href="${CSS.escape(held)}"]`)?.focus();
  enliven(element);
  const says = element.querySelector(told);
  if (says) aloud(says.textContent, element);
}

// ---- sessions that are over ----

class SessionOver extends Error {}

/** The text of a good answer. */
async function textOf(answer) {
  if (answer.status === 401) throw new SessionOver("the session is over");
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.text();
}

/** A link to the door that leads back here. */
function toTheDoor() {
  const link = document.createElement("a");
  link.href = `/signin?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in";
  return link;
}

/** A note that says `why`, or that the session is over and what to do then. */
function noted(error, why) {
  const note = document.createElement("p");
  note.className = "note bad";
  if (error instanceof SessionOver) note.append("The session is over. ", toTheDoor());
  else note.textContent = why;
  return note;
}

// ---- what is said to those who do not see the page ----

let said;

/** Says `text` once; within a dialog, as the rest of the page is silent then. */
function aloud(text, near = document.body) {
  const home = near.closest("dialog") ?? document.body;
  if (said?.parentElement !== home) {
    said?.remove();
    said = document.createElement("p");
    said.className = "sr";
    said.setAttribute("role", "status");
    home.append(said);
  }
  // A region is listened to from when it is there.
  setTimeout(() => (said.textContent = text), 50);
}

// ---- forms whose effect is shown while they are filled in: <form data-preview="URL"> ----

function previewing(form) {
  const target = document.getElementById(form.dataset.previewInto);
  // All of it would be read out, table and all: the sentence is said instead.
  target.removeAttribute("aria-live");
  let timer;
  let under = false;
  let isStale = false;

  // One question at a time: the server goes on with one that nobody waits for any more.
  const ask = async () => {
    if (under) {
      isStale = true;
      return;
    }
    under = true;
    do {
      isStale = false;
      const mine = turn(target);
      target.setAttribute("aria-busy", "true");
      try {
        const body = new URLSearchParams(new FormData(form));
        const markup = await textOf(await fetch(form.dataset.preview, { method: "POST", body, signal: left.signal }));
        if (!isStale && isNewest(target, mine)) put(target, markup, ".says, .note");
      } catch (error) {
        if (left.signal.aborted) return;
        const why = `The effect cannot be shown: ${error.message}.`;
        if (!isStale && isNewest(target, mine)) target.replaceChildren(noted(error, why));
      }
    } while (isStale);
    under = false;
    target.removeAttribute("aria-busy");
  };

  // Nobody asks for a form that is sent, or whose dialog is closed.
  const left = new AbortController();
  const leave = () => {
    clearTimeout(timer);
    left.abort();
  };
  form.closest("dialog")?.addEventListener("close", leave);
  addEventListener("pagehide", (event) => event.persisted || leave());

  form.addEventListener("input", () => {
    clearTimeout(timer);
    // What is loaded for the form as it was is of no use now.
    turn(target);
    timer = setTimeout(ask, 350);
  });
}

// ---- questions before what cannot be undone, and words to be typed ----

function confirming(form) {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.confirm)) event.preventDefault();
  });
}

// <input data-must-be="name"> keeps the buttons of its form off until the name is typed.
function typed(input) {
  const buttons = input.form.querySelectorAll("button[data-needs-word]");
  const update = () => {
    for (const button of buttons) button.disabled = input.value.trim() !== input.dataset.mustBe;
  };
  input.addEventListener("input", update);
  update();
}

// ---- answers that arrive piece by piece: <form data-stream="URL" data-into="ID"> ----

function streaming(form) {
  const target = document.getElementById(form.dataset.into);
  const button = form.querySelector("button");
  const run = async () => {
    button.disabled = true;
    target.replaceChildren();
    target.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.dataset.stream, { method: "POST" });
      if (!answer.ok) await textOf(answer);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let markup = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        markup += value;
        target.innerHTML = markup;
      }
    } catch (error) {
      const item = document.createElement("li");
      item.className = "bad";
      if (error instanceof SessionOver) item.append("The session is over. ", toTheDoor());
      else item.textContent = `This broke off: ${error.message}.`;
      target.append(item);
    }
    target.removeAttribute("aria-busy");
    button.disabled = false;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  // The parameter of the address that asks for it is used up: another load does not ask again.
  if ("atOnce" in form.dataset) {
    const address = new URL(location.href);
    address.searchParams.delete(form.dataset.atOnce);
    history.replaceState(history.state, "", address);
    run();
  }
}

// ---- forms in place: <a data-dialog="/fragments/…"> opens the editor of its page in a dialog ----

function inPlace(link) {
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    let markup;
    try {
      markup = await textOf(await fetch(link.dataset.dialog, { headers: { Accept: "text/html" } }));
    } catch {
      // The page itself says what is wrong.
      location.assign(link.href);
      return;
    }
    const dialog = document.createElement("dialog");
    dialog.className = "in-place";
    dialog.innerHTML = markup;
    dialog.setAttribute("aria-labelledby", "h-editor");
    dialog.addEventListener("close", () => {
      dialog.remove();
      link.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
    enliven(dialog);
    for (const cancel of dialog.querySelectorAll("[data-close]")) {
      cancel.addEventListener("click", (close) => {
        close.preventDefault();
        dialog.close();
      });
    }
  });
}

// ---- copying ----

function copying(code) {
  if (!navigator.clipboard) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain small";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy ${code.classList.contains("copy") ? "it" : code.textContent}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy it by hand";
    }
    // The button has a name of its own: what it shows is not read out.
    aloud(button.textContent, button);
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  // Behind the comma or full stop that follows, which would stand apart else.
  const next = code.nextSibling;
  const mark = next?.nodeType === Node.TEXT_NODE && /^[,.;:)]+/.exec(next.data);
  if (mark) next.splitText(mark[0].length);
  (mark ? next : code).after(button);
}

function enliven(root) {
  for (const element of root.querySelectorAll("[data-load]")) fill(element);
  for (const form of root.querySelectorAll("form[data-preview]")) previewing(form);
  for (const form of root.querySelectorAll("form[data-confirm]")) confirming(form);
  for (const form of root.querySelectorAll("form[data-stream]")) streaming(form);
  for (const link of root.querySelectorAll("a[data-dialog]")) inPlace(link);
  for (const input of root.querySelectorAll("input[data-must-be]")) typed(input);
  for (const code of root.querySelectorAll("code.copy, code.command")) copying(code);
}

enliven(document);
