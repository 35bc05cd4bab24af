// One websocket a page: HTML messages replace elements by id (morphed), JSON messages become events; changed numbers flash.
// The button in the header holds the page still: without a connection nothing changes; the next one brings what was missed.
(() => {
  const topics = document.body.dataset.topics;
  if (!topics) return;
  const state = document.getElementById("live-state");
  let wait = 500;
  let updates = 0;
  let held = false;
  let socket = null;

  const show = (connected) => {
    if (!state) return;
    const text = connected ? state.dataset.on : held ? state.dataset.held : state.dataset.off;
    state.hidden = false;
    state.classList.toggle("good", connected);
    state.classList.toggle("wait", !connected);
    state.setAttribute("aria-pressed", String(held));
    state.title = text;
    state.lastElementChild.textContent = text;
  };

  const values = (part) => [...part.querySelectorAll("[id][data-value]")].map((cell) => [cell.id, cell.dataset.value]);

  const flash = (before) => {
    for (const [id, old] of before) {
      const cell = document.getElementById(id);
      if (!cell || cell.dataset.value === undefined || cell.dataset.value === old) continue;
      const name = Number(cell.dataset.value) > Number(old) ? "flash-up" : "flash-down";
      cell.classList.remove("flash-up", "flash-down");
      void cell.offsetWidth;
      cell.classList.add(name);
    }
  };

  const apply = (html) => {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    for (const fresh of holder.content.querySelectorAll("[id][hx-swap-oob]")) {
      const old = document.getElementById(fresh.id);
      if (!old) continue;
      fresh.removeAttribute("hx-swap-oob");
      const before = values(old);
      Idiomorph.morph(old, fresh, { ignoreActiveValue: true });
      flash(before);
      window.htmx?.process(document.getElementById(fresh.id));
    }
    document.body.dataset.updates = String(++updates);
    window.htmx?.trigger(document.body, "live");
  };

  let swapped = [];
  document.addEventListener("htmx:beforeSwap", ({ detail }) => { swapped = values(detail.target); });
  document.addEventListener("htmx:afterSettle", () => { flash(swapped); swapped = []; });

  const connect = () => {
    if (held) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const wanted = new URLSearchParams({ topics, language: document.documentElement.lang });
    socket = new WebSocket(`${scheme}://${location.host}/ws/live/?${wanted}`);
    socket.onopen = () => { wait = 500; show(true); };
    socket.onmessage = ({ data }) => {
      if (data.startsWith("{")) document.dispatchEvent(new CustomEvent("live", { detail: JSON.parse(data) }));
      else apply(data);
    };
    socket.onclose = () => {
      show(false);
      if (held) return;
      setTimeout(connect, wait + Math.random() * wait);
      wait = Math.min(wait * 2, 15000);
    };
  };
  state?.addEventListener("click", () => {
    held = !held;
    if (held) { show(false); socket.close(); } else connect();
  });
  connect();
})();
