// Draws window.FIGURES (with window.SETTINGS) into the elements of the same id, in the colours of the reader's scheme.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function colours() {
  const style = getComputedStyle(document.documentElement);
  return {
    "font.color": style.getPropertyValue("--ink").trim(),
    "hoverlabel.bgcolor": style.getPropertyValue("--card").trim(),
    "hoverlabel.font.color": style.getPropertyValue("--ink").trim(),
  };
}

const drawn = Object.entries(window.FIGURES).map(([id, figure]) => {
  const place = document.getElementById(id);
  Plotly.newPlot(place, figure.data, figure.layout, window.SETTINGS).then(() => Plotly.relayout(place, colours()));
  return place;
});

dark.addEventListener("change", () => drawn.forEach((place) => Plotly.relayout(place, colours())));
