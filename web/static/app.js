// The live parts of the admin page. Everything here is an addition: each page works without it.
"use strict";

// ---- fragments: <div data-load="/fragments/…"> is filled from there ----

async function fill(element) {
  element.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(element.dataset.load, { headers: { Accept: "text/html" } });
    const markup = await answer.text();
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    // Whoever is at a link of what is replaced stays at it.
    const held = element.contains(document.activeElement) && document.activeElement.getAttribute("href");
    element.innerHTML = markup;
    if (held) element.querySelector(`[href="${CSS.escape(held)}"]`)?.focus();
    enliven(element);
  } catch (error) {
    const note = document.createElement("p");
    note.className = "note bad";
    note.textContent = `This part could not be loaded: ${error.message}. Reload the page to try again.`;
    element.replaceChildren(note);
  }
  element.removeAttribute("aria-busy");
}

// ---- forms whose effect is shown while they are filled in: <form data-preview="URL"> ----

function previewing(form) {
  const target = document.getElementById(form.dataset.previewInto);
  let timer;
  let asked = 0;
  const ask = async () => {
    const mine = ++asked;
    target.setAttribute("aria-busy", "true");
    try {
      const body = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.dataset.preview, { method: "POST", body });
      const markup = await answer.text();
      // Only the last question's answer is shown.
      if (mine !== asked) return;
      target.innerHTML = markup;
      enliven(target);
    } catch (error) {
      if (mine === asked) target.textContent = `The effect cannot be shown: ${error.message}.`;
    }
    if (mine === asked) target.removeAttribute("aria-busy");
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
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
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
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
      item.textContent = `This broke off: ${error.message}.`;
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
      const answer = await fetch(link.dataset.dialog, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      markup = await answer.text();
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
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  code.after(button);
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
