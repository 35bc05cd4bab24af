// Small manners of every page: theme switch, side menu, closing of menus, forms that submit on change, confirmations.
// What a reader has opened stays open over a live update.
if (window.Idiomorph) Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.nodeName === "DETAILS");
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-action]");
  document.querySelectorAll("details.menu[open]").forEach((menu) => menu.contains(event.target) || menu.removeAttribute("open"));
  const side = document.getElementById("side");
  if (side?.classList.contains("open") && !side.contains(event.target) && target?.dataset.action !== "menu") side.classList.remove("open");
  if (!target) return;
  if (target.dataset.action === "theme") {
    const root = document.documentElement;
    root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.bsTheme);
    document.dispatchEvent(new CustomEvent("theme"));
  }
  if (target.dataset.action === "menu") side?.classList.toggle("open");
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll("details.menu[open]").forEach((menu) => menu.removeAttribute("open"));
  document.getElementById("side")?.classList.remove("open");
});
document.addEventListener("change", (event) => event.target.closest("[data-autosubmit]")?.form?.requestSubmit());
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
