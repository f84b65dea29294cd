// What the page does in the browser itself: its address, the theme, marks and choices, copying, saving.
"use strict";

(() => {
  const nothing = () => window.dash_clientside.no_update;
  const trigger = () => window.dash_clientside.callback_context.triggered.map((each) => each.prop_id)[0] || "";
  const FIELDS = ["study", "others", "protocol", "cost", "quality", "low", "high", "filters", "view", "table",
    "columns", "chosen", "picked", "opened"];
  const USUAL = {cost: "multi_adds", quality: "psnr_db", view: "front", table: "networks"};
  const MOST_IN_ADDRESS = 40;

  // The theme: as the system says, or as chosen; kept in this browser.
  const THEMES = ["system", "light", "dark"];
  const themeNow = () => {
    try { return THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system"; }
    catch { return "system"; }
  };
  const dark = () => themeNow() === "dark"
    || (themeNow() === "system" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  function applyTheme() {
    document.documentElement.dataset.theme = dark() ? "dark" : "light";
    if (document.body) document.body.dataset.agThemeMode = dark() ? "dark" : "light";
  }
  applyTheme();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);

  // The network of a point: the first entry of its customdata.
  function networkOf(point) {
    const data = point.customdata;
    const first = Array.isArray(data) ? data[0] : data;
    return typeof first === "string" ? first : null;
  }
  const networksOf = (event) => [...new Set(((event && event.points) || []).map(networkOf).filter(Boolean))];

  async function writeClipboard(text) {
    if (navigator.clipboard) {
      try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed here: the old way */ }
    }
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }

  function save(name, content, type) {
    const link = document.createElement("a");
    link.href = typeof content === "string" && content.startsWith("data:")
      ? content : URL.createObjectURL(new Blob([content], {type}));
    link.download = name;
    link.click();
    if (link.href.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  const ofFigure = () => document.querySelector("#figure .js-plotly-plot");

  // The figure as it is now, zoom and hidden traces included, on white and without a theme.
  function figureNow() {
    const plot = ofFigure();
    const layout = structuredClone(plot.layout);
    return {
      data: plot.data,
      layout: {...layout, paper_bgcolor: "white", plot_bgcolor: "white", width: undefined, height: undefined},
    };
  }

  async function figurePage() {
    const library = await (await fetch(document.querySelector("script[src*='plotly.min']").src)).text();
    const figure = JSON.stringify(figureNow()).replaceAll("<", "\\u003c");
    const settings = "{\"displaylogo\": false, \"responsive\": true, \"plotlyServerURL\": \"\", \"showSendToCloud\": false}";
    return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>ParetoSR</title></head>`
      + `<body style="margin:0"><div id="figure" style="height:100vh"></div><script>${library}</` + `script>`
      + `<script>const f = ${figure}; Plotly.newPlot("figure", f.data, f.layout, ${settings});</` + `script></body></html>`;
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {page: {
    // The address names all that differs from the usual, so that a link shows the same.
    write_address(...values) {
      const query = new URLSearchParams();
      FIELDS.forEach((name, index) => {
        const value = values[index];
        if (value === null || value === undefined || value === "" || value === USUAL[name]) return;
        if (Array.isArray(value)) value.slice(0, MOST_IN_ADDRESS).forEach((each) => query.append(name, each));
        else query.append(name, value);
      });
      if (!query.has("study")) return nothing();
      const search = `?${query}`;
      if (search !== window.location.search) window.history.replaceState(window.history.state, "", search);
      return nothing();
    },

    theme(clicks) {
      if (clicks) {
        const next = THEMES[(THEMES.indexOf(themeNow()) + 1) % THEMES.length];
        try { localStorage.setItem("theme", next); } catch { /* kept for this visit only */ }
        applyTheme();
      }
      return {system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark"}[themeNow()];
    },

    choose(changes, choose, clear, removals, chosen, opened) {
      const now = new Set(chosen || []);
      const by = trigger();
      if (by.startsWith("grid")) {
        for (const change of changes || []) {
          if (change.colId === "chosen") now[change.value ? "add" : "delete"](change.data.genotype);
        }
      } else if (by.startsWith("choose")) {
        if (!choose || !opened || opened.length !== 1) return nothing();
        now.add(opened[0]);
      } else if (by.startsWith("clear")) {
        if (!clear) return nothing();
        now.clear();
      } else {
        const clicked = window.dash_clientside.callback_context.triggered.find((each) => each.value);
        if (!clicked) return nothing();
        now.delete(JSON.parse(clicked.prop_id.split(".").slice(0, -1).join(".")).name);
      }
      const after = [...now];
      return after.join() === (chosen || []).join() ? nothing() : after;
    },

    pick(click, select, all, picked) {
      const by = trigger();
      if (by.startsWith("unpick")) return all ? [] : nothing();
      const found = networksOf(by.includes("clickData") ? click : select);
      return found.length ? found : nothing();
    },

    open(click, compare, close, backdrop, chosen, opened) {
      const by = trigger();
      if (by.startsWith("figure")) {
        const found = networksOf(click).slice(0, 1);
        return found.length ? found : nothing();
      }
      if (by.startsWith("compare")) return compare ? (chosen || []).slice(0, 4) : nothing();
      return (opened || []).length ? [] : nothing();
    },

    // Shows in the rows that are there what is chosen, without asking for them again.
    mark(chosen) {
      const now = new Set(chosen || []);
      window.dash_ag_grid.getApiAsync("grid").then((api) => {
        api.forEachNode((node) => {
          if (node.data) node.data.chosen = now.has(node.data.genotype);
        });
        api.refreshCells({columns: ["chosen"], force: true});
      });
      return nothing();
    },

    purge(stamp) {
      if (!stamp) return nothing();
      const by = trigger();
      window.dash_ag_grid.getApiAsync("grid").then((api) => {
        if (by.startsWith("stamp")) api.refreshInfiniteCache();
        else { api.purgeInfiniteCache(); api.paginationGoToFirstPage(); }
      });
      return nothing();
    },

    async copy(clicks, command) {
      if (!clicks || !command) return nothing();
      return (await writeClipboard(command)) ? "Copied." : "The browser forbids copying; mark the command below.";
    },

    async save_figure() {
      const kind = trigger().split(".")[0].replace("figure-", "");
      const plot = ofFigure();
      if (!plot || !plot.data) return nothing();
      const name = `${new URLSearchParams(location.search).get("view") || "front"}.${kind}`;
      if (kind === "html") save(name, await figurePage(), "text/html");
      else {
        const size = {width: plot.clientWidth, height: plot.clientHeight};
        save(name, await window.Plotly.toImage(figureNow(), {format: kind, scale: kind === "png" ? 2 : 1, ...size}));
      }
      return nothing();
    },
  }});

  // Not by the table's own cellRendererData: the table then complains that it does not know it.
  const openNetwork = (genotype) => window.dash_clientside.set_props("opened", {data: [genotype]});

  // The table: functions that it calls by name, so that no code is made from text.
  window.dashAgGridFunctions = Object.assign(window.dashAgGridFunctions || {}, {
    page_key(params) {
      if (params.event.key === "Enter" && params.column.getColId() === "genotype" && params.data) {
        openNetwork(params.data.genotype);
      }
    },
    page_theme: (quartz) => quartz.withParams({
      backgroundColor: "var(--card)", foregroundColor: "var(--ink)", borderColor: "var(--line)",
      headerBackgroundColor: "var(--page)", headerTextColor: "var(--soft)", accentColor: "var(--accent)",
      fontFamily: "inherit", browserColorScheme: "inherit", wrapperBorderRadius: "8px",
    }),
  });
  window.dashAgGridComponentFunctions = Object.assign(window.dashAgGridComponentFunctions || {}, {
    PageNetwork: (props) => (props.value === undefined || props.value === null ? null : window.React.createElement(
      "button",
      {type: "button", className: "link", title: `Open ${props.value}`, tabIndex: -1, onClick: () => openNetwork(props.value)},
      props.value,
    )),
  });

  // The panel: Escape closes it, the rest of the page is out of reach meanwhile, and the focus comes back.
  let before = null;
  function followPanel() {
    const panel = document.getElementById("panel");
    const rest = document.getElementById("main-part");
    if (!panel || !rest) return;
    const open = !panel.classList.contains("closed");
    if (open === rest.inert) return;
    rest.inert = open;
    document.body.classList.toggle("held", open);
    if (open) {
      before = document.activeElement;
      document.getElementById("drawer-title").focus({preventScroll: true});
    } else if (before && before.isConnected) before.focus({preventScroll: true});
  }
  document.addEventListener("keydown", (event) => {
    const panel = document.getElementById("panel");
    if (event.key === "Escape" && panel && !panel.classList.contains("closed")) document.getElementById("close").click();
  });

  // The reader's zoom outlasts new results: plotly forgets it when a redraw brings another range of the data.
  let zoom = {};
  function followZoom() {
    const plot = ofFigure();
    if (!plot || !plot.on || plot.pageFollowed) return;
    plot.pageFollowed = true;
    plot.on("plotly_relayout", (change) => {
      if (Object.entries(change).some(([key, value]) => key.endsWith("autorange") && value)) zoom = {};
      const ranges = Object.fromEntries(Object.entries(change).filter(([key]) => /axis\d*\.range\[[01]\]$/.test(key)));
      if (Object.keys(ranges).length) zoom = {of: plot.layout.uirevision, ranges: {...zoom.ranges, ...ranges}};
    });
    plot.on("plotly_afterplot", () => {
      if (!zoom.of) return;
      if (zoom.of !== plot.layout.uirevision) { zoom = {}; return; }
      const lost = Object.entries(zoom.ranges).some(([key, value]) => {
        const [axis, end] = [key.split(".")[0], Number(key.at(-2))];
        const now = plot.layout[axis] && plot.layout[axis].range;
        return now && now[end] !== value;
      });
      if (lost) setTimeout(() => window.Plotly.relayout(plot, {...zoom.ranges}), 0);
    });
  }

  // The clock asks whether something happened, REFRESH after the last answer: one question at a time. An error counts as
  // an answer, and so does a lost connection: the page finds a server that comes back. The page's first question, which
  // its address asks, starts the clock: before it Dash has nothing to set.
  const REFRESH = 3000;
  const LOST = "The server does not answer; the page asks again every three seconds.";
  const send = window.fetch;
  let unanswered = 0;
  let timer = null;
  let lost = false;
  const setProps = (id, props) => window.dash_clientside.set_props && window.dash_clientside.set_props(id, props);
  function wind() {
    clearTimeout(timer);
    timer = setTimeout(() => { wind(); setProps("clock", {data: Date.now()}); }, REFRESH);
  }
  function tellLost(now) {
    if (now !== lost) setProps("lost", {children: now ? LOST : ""});
    lost = now;
  }
  function isFollow(address, options) {
    if (!String(address).includes("_dash-update-component") || !options || typeof options.body !== "string") return false;
    try { return JSON.parse(options.body).output.includes("..stamp.data.."); } catch { return false; }
  }
  window.fetch = (address, options) => {
    const answer = send.call(window, address, options);
    if (!isFollow(address, options)) return answer;
    unanswered += 1;
    clearTimeout(timer);
    answer.then((each) => each.clone().arrayBuffer()).then(() => tellLost(false), () => tellLost(true))
      .finally(() => { unanswered -= 1; if (!unanswered) wind(); });
    return answer;
  };

  // What the controls of others leave unsaid to a screen reader: whose label they have.
  function nameControls() {
    for (const label of document.querySelectorAll("label[for][id]")) {
      const control = document.getElementById(label.htmlFor);
      if (!control || control.matches("input")) continue;
      const said = control.getAttribute("aria-labelledby") || "";
      if (!said.split(" ").includes(label.id)) control.setAttribute("aria-labelledby", `${label.id} ${said}`.trim());
    }
  }
  new MutationObserver(() => { followPanel(); followZoom(); nameControls(); applyTheme(); })
    .observe(document.documentElement, {subtree: true, childList: true, attributes: true, attributeFilter: ["class"]});
})();
