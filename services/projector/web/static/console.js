// Enhancement only: shortcuts, copying, pausing updates. Every page works without this file.
(() => {
  "use strict";
  const root = document.documentElement;
  root.dataset.js = "";
  const $ = (selector) => document.querySelector(selector);
  const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const store = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };

  // On a phone the filters start closed.
  const rail = $(".rail");
  if (rail && matchMedia("(max-width: 60rem)").matches) rail.open = false;

  // Pause: nothing is fetched while the reader wants peace.
  const pause = $("[data-pause]");
  const showPause = () => {
    const paused = stored("rlg.paused") === "1";
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume updates" : "Pause updates";
  };
  pause.addEventListener("click", () => { store("rlg.paused", stored("rlg.paused") === "1" ? "0" : "1"); showPause(); });
  showPause();
  document.addEventListener("htmx:beforeRequest", (event) => {
    const polls = event.detail.elt.id === "fresh";
    if (polls && (stored("rlg.paused") === "1" || document.hidden)) event.preventDefault();
  });

  // A click on a digest copies the whole of it.
  document.addEventListener("click", async (event) => {
    const target = event.target.closest("[data-copy]");
    if (target) {
      await navigator.clipboard?.writeText(target.dataset.copy);
      target.classList.add("copied");
      $("#announce").textContent = "Copied";
      setTimeout(() => target.classList.remove("copied"), 900);
    }
    const opener = event.target.closest("[data-open]");
    if (opener) document.getElementById(opener.dataset.open).showModal();
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  // A choice in a form of selectors needs no button.
  for (const form of document.querySelectorAll(".selectors")) {
    form.querySelector("button").hidden = true;
    form.addEventListener("change", () => form.requestSubmit());
  }

  const off = $("[data-keys-off]");
  off.checked = stored("rlg.keys") === "off";
  off.addEventListener("change", () => store("rlg.keys", off.checked ? "off" : "on"));

  const step = (by) => {
    const rows = [...document.querySelectorAll("tr[data-row] th a, .card h3 a")];
    const at = rows.indexOf(document.activeElement);
    rows[Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
  };
  let armed = false;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
    if (event.key === "Escape" && event.target.matches?.("input[type=search]")) event.target.blur();
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || off.checked) return;
    if (armed) {
      armed = false;
      $(`nav [data-key="${CSS.escape(event.key)}"]`)?.click();
    } else if (event.key === "g") {
      armed = true;
      setTimeout(() => { armed = false; }, 1200);
    } else if (event.key === "?") {
      $("#keys").showModal();
    } else if (event.key === "/") {
      const search = $("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
  });
})();
