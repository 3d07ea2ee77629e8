"use strict";
// A pointer on a chart says what its curves are at that step.
const charts = JSON.parse(document.getElementById("data").textContent);

function nearest(steps, wanted) {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] < wanted) low = middle; else high = middle;
  }
  return high >= 0 && Math.abs(steps[high] - wanted) < Math.abs(steps[low] - wanted) ? high : low;
}

document.querySelectorAll(".chart").forEach((figure, number) => {
  const chart = charts[number], svg = figure.querySelector("svg");
  const readout = figure.querySelector(".readout"), cursor = figure.querySelector(".cursor");
  const quiet = readout.textContent;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const wanted = chart.begin + share * (chart.end - chart.begin);
    const said = chart.lines.filter((line) => line.steps.length).map((line) => {
      const at = nearest(line.steps, wanted);
      return { step: line.steps[at], text: `${line.label} ${line.said[at]}` };
    });
    const closest = said.reduce((a, b) => Math.abs(a.step - wanted) <= Math.abs(b.step - wanted) ? a : b);
    readout.textContent = said.map((one) => `${one.text} (step ${one.step.toLocaleString("en")})`).join(" · ");
    const x = (closest.step - chart.begin) / (chart.end - chart.begin || 1) * 1000;
    cursor.setAttribute("d", `M${x} 0V300`);
  });
  svg.addEventListener("pointerleave", () => {
    readout.textContent = quiet;
    cursor.setAttribute("d", "M0 0");
  });
});
