"use strict";
(() => {
  const $ = (q, at = document) => at.querySelector(q), all = (q, at = document) => [...at.querySelectorAll(q)];
  const NS = "http://www.w3.org/2000/svg";
  const make = (name, values, text) => {
    const e = document.createElementNS(NS, name);
    for (const [k, v] of Object.entries(values)) e.setAttribute(k, v);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const shots = all("#strip .shot"), slider = $("#frame"), stage = $("#stage"), marks = $("#marks");
  const places = JSON.parse($("#places").textContent), box = marks ? marks.viewBox.baseVal : null;
  const times = shots.map((s) => Number(s.dataset.t));
  let shown = 0, ring = [], timer = 0;

  const show = (index, keepRing) => {
    if (!shots.length) return;
    shown = Math.max(0, Math.min(shots.length - 1, index));
    const shot = shots[shown], [grey, outlines] = all("img", shot);
    $("#grey").src = grey.src;
    $("#outlines").src = outlines.src;
    if (slider) {
      slider.value = shown;
      slider.setAttribute("aria-valuetext", shot.dataset.text);
    }
    $("#now").textContent = shot.dataset.text;
    shots.forEach((s, i) => s.setAttribute("aria-current", i === shown));
    const strip = $("#strip");
    strip.scrollLeft = shot.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + shot.clientWidth / 2;
    if (!keepRing) ring = [];
    draw();
    for (const svg of all("svg[data-low]")) {
      const d = svg.dataset, line = $(".cursor", svg), span = d.high - d.low || 1;
      const at = Number(d.start) + (d.stop - d.start) * (times[shown] - d.low) / span;
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
      line.style.visibility = "visible";
    }
  };
  const here = () => places.frames[times[shown]] || [];
  // A number that would lie on another one stands beside its nucleus, or is left out: pointing at the nucleus tells it.
  const BESIDE = [[0, 0], [0, -1], [0, 1], [1, 0], [-1, 0], [0.7, -1], [-0.7, -1], [0.7, 1], [-0.7, 1]];
  const number = () => {
    const size = 11 * box.width / stage.clientWidth, step = size / 4, taken = new Set();
    marks.style.fontSize = `${size}px`;
    const cells = (x, y, wide) => {
      const found = [];
      for (let i = Math.floor((x - wide / 2) / step); i <= (x + wide / 2) / step; i++)
        for (let j = Math.floor((y - size / 2) / step); j <= (y + size / 2) / step; j++) found.push(`${i} ${j}`);
      return found;
    };
    for (const [track, top, ...lefts] of here())
      for (const left of lefts) {
        const wide = size * (0.65 * String(track).length + 0.3);
        for (const [dx, dy] of BESIDE) {
          const x = left * box.width + dx * wide, y = top * box.height + dy * size * 1.1, wanted = cells(x, y, wide);
          if (wanted.some((cell) => taken.has(cell))) continue;
          wanted.forEach((cell) => taken.add(cell));
          marks.append(make("text", { class: "number", x, y, dy: ".35em", style: `fill: ${places.colors[track]}` }, track));
          break;
        }
      }
  };
  const draw = () => {
    all(".ring, .number", marks).forEach((e) => e.remove());
    if ($("#numbers") && $("#numbers").checked && stage.clientWidth) number();
    for (const [x, y] of ring)
      marks.append(make("circle", { class: "ring", cx: x * box.width, cy: y * box.height, r: box.width / 16 }));
  };
  const nearest = (t) => times.reduce((best, v, i) => (Math.abs(v - t) < Math.abs(times[best] - t) ? i : best), 0);
  const focus = (track) => {
    all(".hot").forEach((e) => e.classList.remove("hot"));
    document.body.classList.toggle("focus", track !== null);
    if (track !== null) all(`[data-track="${track}"]`).forEach((e) => e.classList.add("hot"));
  };
  const stop = () => { clearInterval(timer); timer = 0; if ($("#play")) $("#play").textContent = "Play"; };
  const play = () => {
    if (timer) return stop();
    $("#play").textContent = "Stop";
    timer = setInterval(() => show((shown + 1) % shots.length), 220);
  };

  shots.forEach((s, i) => s.addEventListener("click", () => { stop(); show(i); }));
  if (slider) {
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    $("#previous").addEventListener("click", () => { stop(); show(shown - 1); });
    $("#next").addEventListener("click", () => { stop(); show(shown + 1); });
    $("#play").addEventListener("click", play);
  }
  if ($("#draw")) $("#draw").addEventListener("change", (e) => stage.classList.toggle("no-outlines", !e.target.checked));
  if ($("#numbers")) $("#numbers").addEventListener("change", draw);
  document.addEventListener("keydown", (e) => {
    if (!slider || e.altKey || e.ctrlKey || e.metaKey || e.target.matches("input")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (step) { e.preventDefault(); stop(); show(shown + step); }
  });
  for (const svg of all("svg[data-low]"))
    svg.addEventListener("click", (e) => {
      const d = svg.dataset, at = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
      const t = Number(d.low) + (d.high - d.low) * (at - d.start) / (d.stop - d.start);
      stop();
      if (times.length) show(nearest(t));
    });
  document.addEventListener("pointerover", (e) => {
    const part = e.target.closest("svg [data-track], tr[data-track]");
    focus(part ? part.dataset.track : null);
  });
  if (stage)
    stage.addEventListener("pointermove", (e) => {
      const size = stage.getBoundingClientRect();
      const far = ([, top, ...lefts]) => Math.min(...lefts.map((left) =>
        Math.hypot(left * size.width - e.clientX + size.left, top * size.height - e.clientY + size.top)));
      const [best, away] = here().map((p) => [p, far(p)]).reduce((a, b) => (b[1] < a[1] ? b : a), [null, size.width / 30]);
      stage.title = best ? `${stage.dataset.named} ${best[0]}` : "";
      focus(best ? String(best[0]) : null);
    });
  for (const button of all(".look"))
    button.addEventListener("click", () => {
      stop();
      ring = JSON.parse(button.dataset.places);
      show(nearest(Number(button.dataset.t)), true);
      stage.scrollIntoView({ block: "center" });
    });
  for (const link of all('a[href^="#"]'))
    link.addEventListener("click", () => { $(link.getAttribute("href")).open = true; });
  const select = $("#shade");
  if (select) {
    const { every, ramp, levels } = JSON.parse($("#shades").textContent), tree = $(".figure.wide"), d = tree.dataset;
    const low = Number(d.low), per = (d.stop - d.start) / (d.high - low || 1);
    const frame = (x) => low + (x - d.start) / per, place = (t) => Number(d.start) + (t - low) * per;
    const level = ([first, letters], at) => letters[Math.max(0, Math.min(letters.length - 1, at - first))];
    const color = (letter) => ramp[letter.charCodeAt(0) - 97] || "var(--soft)";
    const strokes = (own, known) => {
      const found = {};
      for (const [, x, y, stop] of own.getAttribute("d").matchAll(/M(\S+) ([^L]+)L(\S+) /g)) {
        const wide = x === stop ? 1.5 : 0, end = Number(stop) + wide, half = every > 1 ? 0 : 0.5;
        let from = Number(x) - wide, at = Math.floor((frame(Number(x)) + 1e-3 + half) / every);
        for (; from < end; at++) {
          const to = Math.min(end, place((at + 1) * every - half)), key = level(known, at);
          if (to > from) found[key] = `${found[key] || ""}M${from.toFixed(1)} ${y}H${Math.min(to + 0.4, end).toFixed(1)}`;
          from = Math.max(from, to);
        }
      }
      return Object.entries(found).map(([key, d]) => make("path", { d, class: "shade", style: `stroke: ${color(key)}` }));
    };
    const paint = () => {
      const chosen = levels[select.value], told = select.selectedOptions[0].dataset;
      all(".shade", tree).forEach((e) => e.remove());
      for (const line of all(".tracks > [data-track]", tree)) {
        const known = chosen && chosen[line.dataset.track], own = $("path:not(.unseen)", line), dot = $("circle", line);
        if (own) own.style.display = known ? "none" : "";
        if (own && known) line.append(...strokes(own, known));
        if (dot) dot.style.fill = known ? color(level(known, 0)) : "";
      }
      tree.classList.toggle("shaded", Boolean(chosen));
      $("#legend").hidden = !chosen;
      $("#legend-low").textContent = told.low || "";
      $("#legend-high").textContent = told.high || "";
    };
    $("#legend .ramp").style.background = `linear-gradient(90deg, ${ramp})`;
    select.addEventListener("change", paint);
    paint();
  }
  const clip = () =>
    all(".scroll, .wide-scroll").forEach((e) => e.classList.toggle("clipped", e.scrollWidth > e.clientWidth + 1));
  all("details").forEach((d) => d.addEventListener("toggle", clip));
  window.addEventListener("resize", () => { clip(); draw(); });
  window.addEventListener("beforeprint", () => all("details").forEach((d) => { d.open = true; }));
  clip();
  show(0);
})();
