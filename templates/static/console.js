// Keys and the theme: all else works without this file.
// j k move, x ticks, Enter opens (the cursor is the row's own link), / finds a customer, t light or dark.
"use strict";
(() => {
  const root = document.documentElement;

  const switchTheme = () => {
    const shown = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const next = shown === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `homing_theme=${next}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  };

  const links = () => [...document.querySelectorAll("tr.go a.open")].filter((a) => a.offsetParent !== null);
  const here = () => document.activeElement?.closest("tr.go");

  const move = (by) => {
    const all = links();
    const at = all.findIndex((a) => a.closest("tr") === here());
    const next = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };

  const count = () => {
    const out = document.querySelector("[data-ticked]");
    if (out) out.textContent = document.querySelectorAll(".worklist tbody input:checked").length;
  };

  const closeAll = (except) => {
    for (const open of document.querySelectorAll("details.chip[open]")) {
      if (!open.contains(except)) open.open = false;
    }
  };

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-switch]")) {
      event.preventDefault();
      switchTheme();
    }
    closeAll(event.target);
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-all]")) {
      for (const box of document.querySelectorAll(".worklist tbody input[type=checkbox]")) {
        box.checked = event.target.checked;
      }
    }
    count();
  });

  // After the form has let go of its ticks.
  document.addEventListener("reset", () => setTimeout(count));

  // A form is sent once: a second click while the first is on its way does nothing.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") {
      const leave = document.querySelector("dialog[open] [data-leave]");
      if (leave) leave.click();
      else if (typing) typing.blur();
      closeAll(null);
    }
    if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "t") switchTheme();
    else if (event.key === "/") {
      const find = document.querySelector("[data-find]");
      if (find) {
        event.preventDefault();
        find.focus();
        find.select();
      }
    } else if (event.key === "x") {
      const box = here()?.querySelector("input[type=checkbox]");
      if (box) {
        box.checked = !box.checked;
        count();
      }
    }
  });

  // The question before an act holds the focus, first on its safe answer: the page behind it waits.
  const veil = document.querySelector(".veil");
  if (veil) {
    for (const behind of [...veil.parentElement.children, ...document.querySelectorAll(".side, .skip")]) {
      if (behind !== veil) behind.inert = true;
    }
    veil.querySelector("[data-leave]")?.focus();
  }
})();
