// A range input with its label, unit and value: by mouse, arrow keys, Page Up and Down, Home, End.
// ipywidgets' own slider has a handle without a name, which a screen reader cannot announce.
function render({ model, el }) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const shown = document.createElement("output");
  input.type = "range";
  input.id = `dbeta-slider-${Math.random().toString(36).slice(2)}`;
  label.htmlFor = shown.htmlFor = input.id;
  el.classList.add("dbeta-slider");
  // JupyterLab leaves arrow keys alone only where the focused element itself says so.
  input.dataset.lmSuppressShortcuts = "true";
  el.append(label, input, shown);

  const update = () => {
    label.textContent = model.get("description");
    for (const name of ["min", "max", "step"]) input[name] = model.get(name);
    input.value = model.get("value");
    input.disabled = model.get("max") <= model.get("min");
    shown.textContent = model.get("readout");
    input.setAttribute("aria-valuetext", model.get("readout"));
  };
  input.addEventListener("input", () => {
    model.set("value", Number(input.value));
    model.save_changes();
  });
  model.on("change", update);
  update();
  return () => model.off("change", update);
}

export default { render };
