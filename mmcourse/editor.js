// The scene editor in the browser: shows the view that Python sends, tells Python what the reader does.

const STEP = 4 / 128;                        // of an arrow key, canvas = 1; a quarter of it with Shift
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Show rows of [text, answer] in a list; those that were not there before light up. */
function fill(list, rows) {
  const before = new Set([...list.children].map((row) => row.textContent));
  list.replaceChildren(...rows.map(([text, answer = ""]) => {
    const row = document.createElement("li");
    row.append(`${text} `, Object.assign(document.createElement("b"), { textContent: answer }));
    row.classList.toggle("mm-new", before.size > 0 && !before.has(row.textContent));
    return row;
  }));
}

class Editor {
  hits = new Map();                          // key of an object -> its button, with x, y, half
  selected = null;                           // the key of the object that the menus change
  turn = 0;                                  // of the last message to Python; a view has that of the last it answers
  shown = 0;                                 // the turn of the view that is shown
  grip = null;                               // while dragging: from the pointer to the object's centre
  adding = false;

  constructor(model, el) {
    this.model = model;
    el.innerHTML = model.get("page");
    // Keys pressed here are not JupyterLab's: it looks for this on the focused element before its parents.
    el.addEventListener("focusin", ({ target }) => { target.dataset.lmSuppressShortcuts = "true"; });
    for (const part of el.querySelectorAll("[data-is]")) this[part.dataset.is] = part;
    this.menus = Object.entries(model.get("words")).map((entry) => this.menu(...entry));
    this.plus.onclick = () => this.add();
    this.picture.onclick = (event) => this.add(this.pointer(event));
    this.minus.onclick = () => this.ask("remove", { key: this.selected });
    this.anew.onclick = () => this.ask("anew");
    this.sentence.onkeydown = ({ key }) => {
      if (key === "Enter") this.ask("judge", { sentence: this.sentence.value });
    };
  }

  menu(name, words) {
    const menu = Object.assign(document.createElement("select"), { name });
    menu.append(...words.map((word) => new Option(word)));
    menu.onchange = () => {
      if (this.selected !== null) this.ask("change", { key: this.selected, [name]: menu.value });
    };
    const label = document.createElement("label");
    label.append(name, menu);
    this.plus.before(label);
    return menu;
  }

  get waiting() {                            // Python has not answered everything yet
    return this.turn > this.shown;
  }

  ask(action, details = {}) {
    this.turn += 1;
    this.model.send({ action, turn: this.turn, ...details });
  }

  add(place = {}) {
    this.adding = true;
    this.ask("place", { ...place, ...Object.fromEntries(this.menus.map((menu) => [menu.name, menu.value])) });
  }

  select(key) {
    this.selected = key;
    this.minus.disabled = key === null;
    this.hits.forEach((hit, other) => hit.setAttribute("aria-pressed", other === key));
    const thing = this.model.get("view").things.find((one) => one.key === key);
    if (thing) this.menus.forEach((menu) => { menu.value = thing[menu.name]; });
  }

  pointer({ clientX, clientY }) {
    const box = this.ground.getBoundingClientRect();
    return { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height };
  }

  put(hit, ...place) {
    [hit.x, hit.y] = place.map((part) => Math.min(1, Math.max(0, part)));
    const edges = [hit.x - hit.half, hit.y - hit.half, 2 * hit.half, 2 * hit.half];
    const [left, top, width, height] = edges.map((part) => `${100 * part}%`);
    Object.assign(hit.style, { left, top, width, height });
  }

  newHit(key) {
    const hit = Object.assign(document.createElement("button"), { className: "mm-hit" });
    const move = () => this.ask("move", { key, x: hit.x, y: hit.y });
    hit.onfocus = () => this.select(key);
    hit.onpointerdown = (event) => {
      const { x, y } = this.pointer(event);
      this.grip = { x: hit.x - x, y: hit.y - y, moved: false };
      hit.setPointerCapture(event.pointerId);
      hit.focus();
    };
    hit.onpointermove = (event) => {
      if (!this.grip) return;
      const { x, y } = this.pointer(event);
      this.put(hit, x + this.grip.x, y + this.grip.y);
      this.grip.moved = true;
      if (!this.waiting) move();                       // the next time when Python has answered
    };
    hit.onlostpointercapture = () => {
      if (this.grip?.moved) move();
      this.grip = null;
    };
    hit.onkeydown = (event) => {
      const [way, step] = [WAYS[event.key], event.shiftKey ? STEP / 4 : STEP];
      if (event.key === "Delete") this.ask("remove", { key });
      if (!way) return;
      event.preventDefault();
      if (event.repeat && this.waiting) return;
      this.put(hit, hit.x + way[0] * step, hit.y + way[1] * step);
      move();
    };
    this.hits.set(key, hit);
    this.ground.append(hit);
    return hit;
  }

  show = () => {
    const view = this.model.get("view");
    if (view.turn < this.shown) return;                // an old one, which a kernel found again sends once more
    this.shown = view.turn;
    this.turn = Math.max(this.turn, view.turn);
    Object.assign(this.picture, { src: view.picture, alt: view.captions[0] ?? "An empty scene" });
    for (const { key, x, y, half, label } of view.things) {
      const isNew = !this.hits.has(key);
      const hit = Object.assign(isNew ? this.newHit(key) : this.hits.get(key), { half, ariaLabel: label });
      if (isNew || (!this.grip && !this.waiting)) this.put(hit, x, y);
      if (isNew && this.adding) hit.focus();
    }
    this.adding &&= this.waiting;
    this.hits.forEach((hit, key) => view.things.some((thing) => thing.key === key) || this.drop(hit, key));
    this.select(this.hits.has(this.selected) ? this.selected : this.hits.keys().next().value ?? null);
    this.said.classList.toggle("mm-refused", view.refused);
    fill(this.captions, view.captions.map((text) => [text]));
    fill(this.questions, view.questions);
    for (const part of ["said", "read", "verdict"]) this[part].textContent = view[part];
  };

  drop(hit, key) {
    this.hits.delete(key);
    if (hit === document.activeElement) (this.hits.values().next().value ?? this.plus).focus();
    hit.remove();
  }
}

export default {
  render({ model, el }) {
    const editor = new Editor(model, el);
    model.on("change:view", editor.show);
    editor.show();
    return () => model.off("change:view", editor.show);
  },
};
