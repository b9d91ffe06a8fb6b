"use strict";
// Sorting: a button in each column's header; text that starts with a number is sorted by it.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = parseFloat(text.replace("−", "-"));
  return Number.isNaN(number) ? text : number;
};
const compare = (a, b) => {
  const missing = (v) => v === "" || v === "–";
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
};
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort");
      const down = now ? now === "ascending" : header.dataset.first === "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => [valueOf(row, header.cellIndex), row]);
      keyed.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
      body.append(...keyed.map(([, row]) => row));
    });
  }
}
// Filtering: a row stays while it holds every word.
for (const input of document.querySelectorAll(".filter input")) {
  const frame = input.closest(".table");
  const rows = [...frame.querySelectorAll("tbody tr")];
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    frame.querySelector("output").textContent = input.value ? `${shown} of ${rows.length}` : "";
  });
}
// A command is copied by a button; without a clipboard there is none.
if (navigator.clipboard) {
  for (const listing of document.querySelectorAll(".listing")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(listing.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    listing.append(button);
  }
}
// Light and dark: the system's choice until the button is pressed.
const theme = document.getElementById("theme");
const root = document.documentElement;
let dark = matchMedia("(prefers-color-scheme: dark)").matches;
const name = () => { theme.textContent = dark ? "Light" : "Dark"; };
theme.hidden = false;
name();
theme.addEventListener("click", () => {
  dark = !dark;
  root.classList.toggle("dark", dark);
  root.classList.toggle("light", !dark);
  name();
});
// A printed page shows what is folded.
addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
