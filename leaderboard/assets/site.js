// Draws window.FIGURES (with window.SETTINGS) into the elements of the same id, each when it comes into sight.
"use strict";

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    watcher.unobserve(entry.target);
    const figure = window.FIGURES[entry.target.id];
    Plotly.newPlot(entry.target, figure.data, figure.layout, window.SETTINGS);
  }
}, {rootMargin: "300px"});

for (const id of Object.keys(window.FIGURES)) {
  const place = document.getElementById(id);
  if (place) watcher.observe(place);
}
