// The scene editor in the browser: it shows the view that Python sends, and tells Python what the reader does.

const STEP = 4 / 128;                                   // of an arrow key, canvas = 1; a quarter of it with Shift
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const inside = (place) => Math.min(1, Math.max(0, place));

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function fill(list, rows) {
  const before = new Set([...list.children].map((row) => row.textContent));
  list.replaceChildren(...rows.map(([text, answer]) => {
    const row = make("li", {}, text, ...(answer ? [" ", make("b", {}, answer)] : []));
    row.classList.toggle("mm-new", before.size > 0 && !before.has(row.textContent));
    return row;
  }));
}

function render({ model, el }) {
  const hits = new Map();                               // an object's key -> { button, x, y, half }
  let selected = null;                                  // the key of the object that the menus change
  let waiting = 0;                                      // messages that Python has not answered yet
  let grip = null;                                      // from the pointer to the centre of what it drags
  let adding = false;

  function ask(action, details = {}) {
    waiting += 1;
    model.send({ action, ...details });
  }

  // what the reader meets
  const picture = make("img", { draggable: false });
  const ground = make("div", { className: "mm-ground", role: "application", ariaLabel: "The scene" }, picture);
  const menus = Object.entries(model.get("words")).map(([name, words]) => {
    const menu = make("select", { name }, ...words.map((word) => new Option(word)));
    menu.onchange = () => selected !== null && ask("change", { key: selected, [name]: menu.value });
    return menu;
  });
  const labels = menus.map((menu) => make("label", { hidden: menu.length < 2 }, menu.name, menu));
  const add = make("button", { type: "button", onclick: () => place() }, "Add");
  const remove = make("button", { type: "button", onclick: () => ask("remove", { key: selected }) }, "Remove");
  const anew = make("button", { type: "button", onclick: () => ask("anew") }, "Other sentences");
  const said = make("p", { className: "mm-said", role: "status" });
  const [captions, questions] = [make("ul"), make("ul")];
  const read = make("b");
  const sentence = make("input", { type: "text", maxLength: 300, placeholder: "a red circle left of a blue square" });
  sentence.onchange = () => ask("judge", { sentence: sentence.value });
  const verdict = make("b", { role: "status" });
  const part = (title, ...content) => make("section", { ariaLabel: title }, make("h4", {}, title), ...content);
  el.append(make("div", { className: "mm-editor" },
    make("div", {},
      make("div", { className: "mm-tools", role: "toolbar", ariaLabel: "The chosen object" }, ...labels, add, remove),
      ground,
      make("p", { className: "mm-help" }, "Click on free ground to add. Drag to move, or Tab to an object: arrow keys "
        + "move it (with Shift in small steps), Delete removes it."),
      said),
    make("div", { className: "mm-text" },
      part("True of this scene", captions),
      part("Questions", questions, anew),
      part("Does the oracle read this scene from the pixels?", read),
      part("Your own sentence or question", make("label", {}, "Type and press Enter", sentence), verdict))));
  el.dataset.lmSuppressShortcuts = "true";              // keys pressed here are not JupyterLab's

  function place(at = {}) {
    adding = true;
    ask("place", { ...at, ...Object.fromEntries(menus.map((menu) => [menu.name, menu.value])) });
  }

  function pointer(event) {
    const box = ground.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  ground.onclick = (event) => event.target === picture && place(pointer(event));

  function select(key) {
    selected = key;
    remove.disabled = key === null;
    hits.forEach(({ button }, other) => { button.ariaPressed = String(other === key); });
    const thing = model.get("view").things.find((one) => one.key === key);
    if (thing) menus.forEach((menu) => { menu.value = thing[menu.name]; });
  }

  function put(hit, x, y) {
    Object.assign(hit, { x: inside(x), y: inside(y) });
    const [left, top, width] = [hit.x - hit.half, hit.y - hit.half, 2 * hit.half].map((part) => `${100 * part}%`);
    Object.assign(hit.button.style, { left, top, width, height: width });
  }

  function newHit(key) {
    const button = make("button", { type: "button", className: "mm-hit" });
    const hit = { button };
    const move = () => ask("move", { key, x: hit.x, y: hit.y });
    button.onfocus = () => select(key);
    button.onpointerdown = (event) => {
      const { x, y } = pointer(event);
      grip = { x: hit.x - x, y: hit.y - y, moved: false };
      button.setPointerCapture(event.pointerId);
      button.focus();
    };
    button.onpointermove = (event) => {
      if (!grip) return;
      const { x, y } = pointer(event);
      grip.moved ||= Math.hypot(x + grip.x - hit.x, y + grip.y - hit.y) > 1 / 128;
      if (!grip.moved) return;
      put(hit, x + grip.x, y + grip.y);
      if (!waiting) move();                             // Python is asked again as soon as it has answered
    };
    button.onpointerup = button.onpointercancel = () => {
      if (grip?.moved) move();
      grip = null;
    };
    button.onkeydown = (event) => {
      const [right, down] = WAYS[event.key] ?? [0, 0];
      if (event.key === "Delete" || event.key === "Backspace") ask("remove", { key });
      else if (!(event.key in WAYS)) return;
      else if (!event.repeat || !waiting) {
        const step = event.shiftKey ? STEP / 4 : STEP;
        put(hit, hit.x + right * step, hit.y + down * step);
        move();
      }
      event.preventDefault();
    };
    ground.append(button);
    hits.set(key, hit);
    return hit;
  }

  function show() {
    const view = model.get("view");
    waiting = Math.max(0, waiting - 1);
    picture.src = view.picture;
    picture.alt = view.captions[0] ?? "An empty scene";
    for (const { key, x, y, half, label } of view.things) {
      const isNew = !hits.has(key);
      const hit = isNew ? newHit(key) : hits.get(key);
      Object.assign(hit, { half });
      hit.button.ariaLabel = label;
      if (isNew || (!grip && !waiting)) put(hit, x, y);
      if (isNew && adding) hit.button.focus();
    }
    adding = adding && waiting > 0;
    for (const [key, { button }] of hits) {
      if (view.things.some((thing) => thing.key === key)) continue;
      hits.delete(key);
      const next = hits.values().next().value?.button ?? add;
      if (button === document.activeElement) next.focus();
      button.remove();
    }
    select(hits.has(selected) ? selected : hits.keys().next().value ?? null);
    said.textContent = view.said;
    said.classList.toggle("mm-refused", view.refused);
    fill(captions, view.captions.map((text) => [text]));
    fill(questions, view.questions);
    read.textContent = view.read;
    verdict.textContent = view.verdict;
  }

  model.on("change:view", show);
  show();
  return () => model.off("change:view", show);
}

export default { render };
