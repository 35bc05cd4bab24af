// The coin's candles: loads `data-url`, redraws the newest from there whenever a live update says that the coin traded.
// Gaps of the feed are shaded; the marks of `data-marks` (addresses of other parts) stand above and below the candles.
(() => {
  const box = document.getElementById("chart");
  if (!box) return;
  const charts = window.LightweightCharts;
  const bucket = Number(box.dataset.bucket);
  const mostShaded = 60; // bars a gap takes at most: an hour of nothing is not 3,600 bars of one second
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shade = () => `${colour("--warn")}38`;
  const look = () => ({
    layout: { background: { color: "transparent" }, textColor: colour("--desk-muted"), attributionLogo: false },
    grid: { vertLines: { color: colour("--desk-line") }, horzLines: { color: colour("--desk-line") } },
  });
  const candleLook = () => ({ upColor: colour("--up"), downColor: colour("--down"), wickUpColor: colour("--up"), wickDownColor: colour("--down") });
  const chart = charts.createChart(box, {
    autoSize: true, ...look(),
    timeScale: { timeVisible: true, secondsVisible: bucket < 60, borderVisible: false }, rightPriceScale: { borderVisible: false },
    localization: { locale: document.documentElement.lang },
  });
  const silent = { lastValueVisible: false, priceLineVisible: false };
  const shades = chart.addSeries(charts.HistogramSeries, { priceScaleId: "gaps", color: shade(), ...silent });
  shades.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 }, visible: false });
  const candles = chart.addSeries(charts.CandlestickSeries, {
    ...candleLook(), borderVisible: false, priceFormat: { type: "price", precision: 3, minMove: 0.001 },
  });
  const volume = chart.addSeries(charts.HistogramSeries, { priceFormat: { type: "volume" }, priceScaleId: "", color: colour("--desk-line"), ...silent });
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  const pins = charts.createSeriesMarkers(candles, []);

  const known = new Map(); // candles by time
  const shaded = new Map(); // bars of gaps by time
  let marks = [];
  let newest = 0;

  const shadesOf = ({ from, to }) => {
    const first = Math.floor(from / bucket);
    const last = Math.max(Math.floor((to - 0.001) / bucket), first);
    const step = Math.max(Math.ceil((last - first + 1) / mostShaded), 1);
    for (let bar = first; bar <= last; bar += step) shaded.set(bar * bucket, { time: bar * bucket, value: 1 });
  };
  const show = ({ items, gaps }) => {
    const isFirst = newest === 0;
    for (const item of items) {
      known.set(item.time, item);
      newest = Math.max(newest, item.time);
      if (isFirst) continue;
      const { time, volume: value, ...prices } = item;
      candles.update({ time, ...prices });
      volume.update({ time, value });
    }
    const before = shaded.size;
    gaps.forEach(shadesOf);
    if (isFirst && items.length) {
      candles.setData(items.map(({ volume: _, ...candle }) => candle));
      volume.setData(items.map(({ time, volume: value }) => ({ time, value })));
    }
    if (shaded.size !== before) shades.setData([...shaded.values()].sort((a, b) => a.time - b.time));
    box.dataset.candles = String(known.size);
    box.dataset.newest = String(newest);
    box.dataset.shaded = String(shaded.size);
  };

  const forms = () => ({
    alert: { position: "aboveBar", shape: "circle", color: colour("--warn") },
    buy: { position: "belowBar", shape: "arrowUp", color: colour("--up") },
    sell: { position: "aboveBar", shape: "arrowDown", color: colour("--down") },
  });
  const pin = () => {
    const times = [...known.keys()].sort((a, b) => a - b);
    const form = forms();
    const placed = [];
    for (const { time, kind, text } of marks) {
      const candle = times.findLast((one) => one <= time);
      if (candle !== undefined) placed.push({ time: candle, text, ...form[kind] });
    }
    pins.setMarkers(placed.sort((a, b) => a.time - b.time));
    box.dataset.pinned = String(placed.length);
  };

  const get = async (address) => {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    return answer.ok ? answer.json() : null;
  };
  let running = false;
  const load = async () => {
    if (running) return;
    running = true;
    try {
      const isFirst = newest === 0;
      const addresses = (box.dataset.marks || "").split(" ").filter(Boolean);
      const [data, ...found] = await Promise.all([`${box.dataset.url}&since=${newest}`, ...addresses].map(get));
      if (data) show(data);
      marks = found.flatMap((answer) => answer?.items ?? []);
      pin();
      if (isFirst) chart.timeScale().fitContent();
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
    shades.applyOptions({ color: shade() });
    candles.applyOptions(candleLook());
    pin();
  });
})();
