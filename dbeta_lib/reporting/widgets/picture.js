// A picture with a description. Where it is selectable, a click tells its place, and a line drawn
// with the button held tells the area inside: fractions of width and height from the upper left.
const CLICK = 5; // pixels that a click may stray
const SVG = "http://www.w3.org/2000/svg";

function render({ model, el }) {
  const picture = document.createElement("img");
  let address = "";
  el.classList.add("dbeta-picture");
  el.append(picture);

  const update = () => {
    const png = model.get("png");
    const before = address;
    address = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    picture.src = address;
    picture.alt = model.get("alt");
    picture.style.width = `${model.get("width")}px`;
    if (before) URL.revokeObjectURL(before);
  };
  model.on("change", update);
  update();
  if (model.get("selectable")) select({ model, el, picture });
  return () => {
    model.off("change", update);
    URL.revokeObjectURL(address);
  };
}

function select({ model, el, picture }) {
  const drawing = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "polygon");
  let path = null;
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(line);
  el.append(drawing);
  el.classList.add("dbeta-selectable");
  picture.draggable = false;

  const place = (event) => {
    const box = picture.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const show = () => {
    const box = picture.getBoundingClientRect();
    const points = (path ?? []).map(([x, y]) => `${x * box.width},${y * box.height}`);
    line.setAttribute("points", points.join(" "));
  };
  picture.addEventListener("pointerdown", (event) => {
    path = [place(event)];
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (!path) return;
    path.push(place(event));
    show();
  });
  picture.addEventListener("pointerup", () => {
    if (!path) return;
    const box = picture.getBoundingClientRect();
    const [x, y] = path[0];
    const strays = ([u, v]) => Math.hypot((u - x) * box.width, (v - y) * box.height) > CLICK;
    model.send({ path: path.some(strays) ? path : [path[0]] });
    path = null;
    show();
  });
  picture.addEventListener("pointercancel", () => {
    path = null;
    show();
  });
}

export default { render };
