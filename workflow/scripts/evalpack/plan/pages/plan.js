"use strict";

// `ast` keeps Vega from compiling expressions with eval, which the page's policy forbids.
const spec = JSON.parse(document.getElementById("spec").textContent);
vegaEmbed("#chart", spec, {
  actions: false,
  ast: true,
  renderer: "svg",
  tooltip: { theme: "plan" },
}).catch((error) => {
  console.error(error);
  document.getElementById("chart").textContent =
    "The chart could not be drawn; plan.svg beside this page holds it.";
});

// Columns sort by a click or by the keyboard: numbers as numbers, largest first on the second time.
const table = document.getElementById("models");
const keyOf = (row, column) => row.cells[column].dataset.by ?? row.cells[column].textContent;

function sortBy(column) {
  const heads = [...table.tHead.rows[0].cells];
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  const order = new Intl.Collator("en", { numeric: true });
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [left, right] = [keyOf(a, column), keyOf(b, column)];
    const numbers = Number(left) - Number(right);
    return (Number.isNaN(numbers) ? order.compare(left, right) : numbers) * (down ? -1 : 1);
  });
  table.tBodies[0].append(...rows);
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
}

[...table.tHead.rows[0].cells].forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  button.addEventListener("click", () => sortBy(column));
  head.replaceChildren(button);
});
