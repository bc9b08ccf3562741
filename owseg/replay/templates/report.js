"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const frames = all(".frame");
  if (!frames.length) return;
  const thumbs = all(".thumbs a"), cursors = all(".cursor"), slider = one("#slider");
  const play = one("#play"), strip = one(".thumbs"), zoom = one("#zoom");
  let current = 0, panel = 0, timer = 0;

  const show = (index) => {
    current = Math.min(frames.length - 1, Math.max(0, index));
    frames.forEach((frame, i) => frame.classList.toggle("is-current", i === current));
    thumbs.forEach((thumb, i) => i === current ? thumb.setAttribute("aria-current", "true") : thumb.removeAttribute("aria-current"));
    cursors.forEach((cursor) => { cursor.style.left = frames[current].dataset.place + "%"; });
    slider.value = current;
    slider.setAttribute("aria-valuetext", frames[current].dataset.label);
    const thumb = thumbs[current];
    strip.scrollLeft = thumb.offsetLeft - strip.offsetLeft - (strip.clientWidth - thumb.offsetWidth) / 2;
    if (zoom.open) enlarge();
  };
  const stop = () => { clearInterval(timer); timer = 0; play.setAttribute("aria-pressed", "false"); play.setAttribute("aria-label", "Play"); };
  const start = () => {
    timer = setInterval(() => show((current + 1) % frames.length), 700);
    play.setAttribute("aria-pressed", "true"); play.setAttribute("aria-label", "Pause");
  };
  const step = (by) => { stop(); show(current + by); };

  const enlarge = () => {
    const figures = all(".panel", frames[current]);
    panel = (panel + figures.length) % figures.length;
    const source = one("img", figures[panel]), image = one("img", zoom);
    image.src = source.src; image.alt = source.alt;
    one("b", zoom).textContent = one("figcaption", figures[panel]).textContent;
    one("span", zoom).textContent = frames[current].dataset.label;
  };
  const nearest = (percent) => frames.reduce((best, frame, i) =>
    Math.abs(frame.dataset.place - percent) < Math.abs(frames[best].dataset.place - percent) ? i : best, 0);

  document.documentElement.classList.add("js");
  one(".controls").hidden = false;
  one("#previous").addEventListener("click", () => step(-1));
  one("#next").addEventListener("click", () => step(1));
  play.addEventListener("click", () => timer ? stop() : start());
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  thumbs.forEach((thumb, i) => thumb.addEventListener("click", (event) => { event.preventDefault(); stop(); show(i); }));
  all(".timed").forEach((plot) => plot.addEventListener("click", (event) => {
    const box = plot.getBoundingClientRect();
    stop(); show(nearest(100 * (event.clientX - box.left) / box.width));
  }));
  frames.forEach((frame) => all(".panel button", frame).forEach((button, i) => button.addEventListener("click", () => {
    stop(); panel = i; enlarge(); zoom.showModal();
  })));
  zoom.addEventListener("click", () => zoom.close());
  zoom.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault(); panel += move[1]; show(current + move[0]);
  });
  const linked = frames.findIndex((frame) => "#" + frame.id === location.hash);
  show(linked >= 0 ? linked : Math.max(0, frames.findIndex((frame) => frame.classList.contains("is-first"))));
})();
