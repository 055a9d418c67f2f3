// Lays every slide out in the browser, where type can be measured, then starts reveal.js.
// A slide takes the largest type that fits, with its output below the rest or beside it; what still does not
// fit goes on to a next slide under the same heading. A slide that fits in no way gets data-fault="why".
"use strict";
(() => {
  const SMALLEST = 4, DENSE = 5;                  // the steps of type go from 0, the largest, to these
  const SMALLEST_PICTURE = 0.2;      // of a slide's area, while anything else stands on the slide
  const BLANK_LINES = /\n(?:(?:<span[^>]*>)?\s*(?:<\/span>)?\n)+/;
  const root = document.querySelector(".reveal"), slides = root.querySelector(".slides");
  const $ = (element, selector) => [...element.querySelectorAll(selector)];

  // What sticks out of the page, in words; "" when everything fits.
  function overflow(page) {
    const room = (page.querySelector(".blocks") || page).getBoundingClientRect();
    for (const part of [page, ...$(page, "h2, .blocks, .blocks > *")]) {
      const box = part.getBoundingClientRect(), name = part.classList[0] || "heading", inner = part !== page;
      const wide = Math.max(part.scrollWidth - part.clientWidth, inner && box.right - room.right);
      const high = Math.max(part.scrollHeight - part.clientHeight, inner && box.bottom - room.bottom);
      if (wide > 1) return `${name} is ${Math.round(wide)} px too wide`;
      if (high > 1 && name !== "heading") return `${name} is ${Math.round(high)} px too high`;
    }
    return "";
  }

  // The drawn area of the pictures, as a share of the slide.
  function pictures(page) {
    return $(page, ".picture img").reduce((sum, image) => {
      const {naturalWidth: width, naturalHeight: height} = image;
      return sum + Math.min(image.clientWidth / width, image.clientHeight / height) ** 2 * width * height;
    }, 0) / (1280 * 720);
  }

  function arrange(page, step, side) {
    const blocks = page.querySelector(".blocks"), text = Math.min(step, SMALLEST);
    page.className = `page text-${text} code-${Math.max(text, page.dataset.code)}`;
    page.classList.toggle("dense", step === DENSE);
    blocks.className = side ? "blocks side" : "blocks";
    blocks.style.gridTemplateRows = side ? `repeat(${blocks.children.length - 1}, auto) 1fr` : "";
  }

  // Takes the best arrangement that fits: large type, and large pictures if there are any. False: none fits.
  function fit(page) {
    const count = $(page, ".blocks > *").length, drawn = $(page, ".picture").length;
    const mayStandBeside = count > 1 && $(page, ".output").length === 1 && !page.querySelector(".wraps");
    let best = null;
    for (let step = 0; step <= DENSE; step++) {
      for (const side of mayStandBeside ? [false, true] : [false]) {
        arrange(page, step, side);
        const area = pictures(page);
        if (overflow(page) || (drawn && count > 1 && area < SMALLEST_PICTURE)) continue;
        const score = drawn ? Math.sqrt(area) * (1 - 0.08 * step) : -step;
        if (!best || score > best.score + 1e-6) best = {score, step, side};
      }
    }
    if (best) arrange(page, best.step, best.side);
    return Boolean(best);
  }

  // Prose may be larger than code: page.dataset.code is the first step at which no line of code is too long.
  // Lines that the smallest type cannot hold go on below, further to the right.
  function measureCode(page) {
    const tooLong = () => $(page, ".code, .output").filter(block => block.scrollWidth > block.clientWidth);
    page.dataset.code = 0;
    for (arrange(page, 0, false); tooLong().length && page.dataset.code < SMALLEST; arrange(page, 0, false)) {
      page.dataset.code++;
    }
    for (const code of tooLong().filter(block => block.matches(".code"))) {
      code.classList.add("wraps");
      const pre = code.querySelector("pre"), lines = pre.innerHTML.trimEnd().split("\n");
      pre.innerHTML = lines.map(line => `<span class="line">${line}</span>`).join("\n");
      for (const line of $(pre, ".line")) {
        line.style.setProperty("--indent", line.textContent.search(/\S|$/) + 8);
      }
    }
  }

  // Moves the last paragraph of one block of code to the front of another; false if it has but one.
  function shorten(code, next) {
    const [from, to] = [code, next].map(block => block.querySelector("pre"));
    const parts = from.innerHTML.trimEnd().split(BLANK_LINES);
    if (parts.length < 2) return false;
    to.innerHTML = [parts.pop(), to.innerHTML].filter(Boolean).join("\n\n");
    from.innerHTML = parts.join("\n\n");
    return true;
  }

  // Takes blocks, then paragraphs of code, off the page's end until it fits; returns what it took.
  // Printed lines do not go alone: their code comes along if both fit on a page, else its last paragraph.
  function cut(page) {
    const blocks = page.querySelector(".blocks"), rest = [];
    while (!fit(page) && blocks.children.length > 1) {
      rest.unshift(blocks.lastElementChild);
      blocks.lastElementChild.remove();
    }
    const stay = [...blocks.children], code = stay.pop();
    const torn = rest.length > 0 && rest[0].matches(".output:not(.grows)");
    if (!code.matches(".code") || fit(page) && !torn) return rest;
    if (torn && stay.length) {
      blocks.replaceChildren(code, rest[0]);
      const together = fit(page);
      blocks.replaceChildren(...stay, ...together ? [] : [code]);
      fit(page);
      if (together) return [code, ...rest];
    }
    const next = code.cloneNode(true);
    next.querySelector("pre").innerHTML = "";
    if (torn) shorten(code, next);
    while (!fit(page) && shorten(code, next));
    return next.textContent.trim() ? [next, ...rest] : rest;
  }

  // May put a continuation behind the section, which is then laid out in its turn. Returns the fault or "".
  function layOut(section) {
    const page = section.querySelector(".page");
    if (page.matches(".title")) return overflow(page);
    measureCode(page);
    const rest = cut(page);
    if (rest.length) {
      const next = section.cloneNode(true);
      next.querySelector(".blocks").replaceChildren(...rest);
      rest[0].classList.remove("fragment");       // turning the page is its step
      for (const half of section.dataset.timing ? [section, next] : []) {
        half.dataset.timing = Math.round(half.dataset.timing / 2);
      }
      section.after(next);
    }
    return overflow(page);
  }

  async function start() {
    MathJax.startup.defaultReady();
    await MathJax.startup.promise;
    await MathJax.typesetPromise();
    await Promise.all([...document.fonts].map(font => font.load()));
    await Promise.all($(slides, "img").map(image => image.decode().catch(() => {})));
    for (const output of $(slides, ".output")) {
      if (output.querySelector(".picture")) output.classList.add("grows");
    }
    const answers = $(slides, "details");
    for (const answer of answers) answer.open = true;             // an opened answer must fit as well
    for (let section = slides.firstElementChild; section; section = section.nextElementSibling) {
      const fault = layOut(section);
      if (fault) section.dataset.fault = fault;
    }
    for (const answer of answers) answer.open = /print-pdf/.test(location.search);
    const sections = [...slides.children], timed = sections.filter(section => section.dataset.timing);
    for (const [index, section] of sections.entries()) {
      const {dataset} = section.querySelector(".page");
      dataset.name = slides.dataset.name;
      dataset.number = `${index + 1} / ${sections.length}`;
    }
    const seconds = timed.reduce((sum, section) => sum + Number(section.dataset.timing), 0);
    root.classList.add("laid-out");
    await Reveal.initialize({
      width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 10, center: false,
      controls: false, hash: true, transition: "none", pdfSeparateFragments: false, plugins: [RevealNotes],
      totalTime: Math.max(60 * root.dataset.minutes, seconds + 60 * (sections.length - timed.length)),
    });
  }
  window.addEventListener("load", start);
})();
