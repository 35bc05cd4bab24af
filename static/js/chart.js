// The coin's candles: loads `data-url`, redraws the newest from there whenever a live update says that the coin traded.
(() => {
  const box = document.getElementById("chart");
  if (!box) return;
  const charts = window.LightweightCharts;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const look = () => ({
    layout: { background: { color: "transparent" }, textColor: colour("--desk-muted"), attributionLogo: false },
    grid: { vertLines: { color: colour("--desk-line") }, horzLines: { color: colour("--desk-line") } },
  });
  const chart = charts.createChart(box, {
    autoSize: true, ...look(),
    timeScale: { timeVisible: true, secondsVisible: true, borderVisible: false }, rightPriceScale: { borderVisible: false },
    localization: { locale: document.documentElement.lang },
  });
  const candles = chart.addSeries(charts.CandlestickSeries, {
    upColor: colour("--up"), downColor: colour("--down"), borderVisible: false,
    wickUpColor: colour("--up"), wickDownColor: colour("--down"),
    priceFormat: { type: "price", precision: 3, minMove: 0.001 },
  });
  const volume = chart.addSeries(charts.HistogramSeries, { priceFormat: { type: "volume" }, priceScaleId: "", color: colour("--desk-line") });
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });

  let running = false;
  let newest = 0;
  let count = 0;
  const show = (items) => {
    for (const { time, volume: value, ...prices } of items) {
      if (time > newest) count += 1;
      newest = Math.max(newest, time);
      candles.update({ time, ...prices });
      volume.update({ time, value });
    }
    box.dataset.candles = String(count);
    box.dataset.newest = String(newest);
  };
  const load = async () => {
    if (running) return;
    running = true;
    try {
      const first = newest === 0;
      const answer = await fetch(`${box.dataset.url}&since=${newest}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      show((await answer.json()).items);
      if (first) chart.timeScale().fitContent();
    } finally {
      running = false;
    }
  };
  load();
  let due = null;
  new MutationObserver(() => { due ??= setTimeout(() => { due = null; load(); }, 1000); })
    .observe(document.body, { attributes: true, attributeFilter: ["data-updates"] });
  document.addEventListener("theme", () => {
    chart.applyOptions(look());
    volume.applyOptions({ color: colour("--desk-line") });
    candles.applyOptions({ upColor: colour("--up"), downColor: colour("--down"), wickUpColor: colour("--up"), wickDownColor: colour("--down") });
  });
})();
