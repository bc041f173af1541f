"use strict";
// The recommender in the browser: it answers the page as the service would, by onnxruntime-web and the model beside it.
// Windows of a session are those of generator/model/windows.py.

globalThis.local = (() => {
  const sessions = new Map(); // by id, the visits of each: page, dwell (seconds), at (the clock, where no dwell is given)
  const ready = load();

  async function load() {
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = new URL("./", document.baseURI).href;
    const json = (file) => asked(file).then((response) => response.json());
    const about = await json("about.json");
    const [metadata, pages, items, net] = await Promise.all([
      about.metadata ? json(about.metadata) : {},
      lines("pages.txt"),
      lines("items.txt"),
      ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] }),
    ]);
    const ids = (labels) => new Map(labels.map((label, place) => [label, place + 1]));
    return { about, metadata: new Map(Object.entries(metadata)), pages, items, net, pageIds: ids(pages), itemIds: ids(items) };
  }

  async function asked(file) {
    const response = await fetch(file);
    if (!response.ok) throw new Error(`${file}: ${response.status} ${response.statusText}`);
    return response;
  }

  async function lines(file) {
    return (await (await asked(file)).text()).split("\n").slice(0, -1);
  }

  const newest = (values, size) => values.slice(Math.max(0, values.length - size));
  const right = (values, size) => [...Array(size - values.length).fill(0), ...values];

  // What the net sees of visits [{page, dwell}] and of items bought, oldest first.
  function windowOf(model, visits, bought) {
    const { page: n = 0, history_page: h = 0, bought: k = 0, seen_page: s = 0 } = model.about.sizes;
    const { after, count } = model.about.slots ?? { after: 0, count: 0 };
    const unseen = [...new Set(visits.map(({ page }) => page))].filter((page) => !model.pageIds.has(page)).slice(0, count);
    const idOf = (page) => model.pageIds.get(page) ?? (unseen.includes(page) ? after + 1 + unseen.indexOf(page) : 0);
    const known = visits.map(({ page, dwell }) => ({ page, id: idOf(page), dwell: Math.max(dwell, 1) })).filter(({ id }) => id);
    const fallen = Math.max(0, known.length - n);
    const history = newest(known.slice(0, fallen), h);
    let since = 0;
    for (const state of [...history].reverse()) {
      since += Math.fround(state.dwell);
      state.weight = Math.fround(Math.fround(state.dwell) / since);
    }
    const items = bought.map((item) => ({ item, id: model.itemIds.get(item) })).filter(({ id }) => id);
    return {
      page: known.slice(fallen), history, seen: newest(known, s), bought: newest(items, k), unseen,
      unknownPages: visits.length - known.length, unknownBought: bought.length - items.length,
    };
  }

  function feeds(model, seen) {
    const ids = (states) => states.map(({ id }) => id);
    const last = model.about.slots ? model.about.slots.after + 1 : Infinity; // the row that all slots share
    const rows = (states) => ids(states).map((id) => Math.min(id, last));
    const values = {
      page: rows(seen.page),
      history_page: rows(seen.history),
      history_weight: seen.history.map(({ weight }) => weight),
      bought: ids(seen.bought),
      bought_weight: seen.bought.map(() => 1),
      seen_page: ids(seen.seen),
      seen_dwell: seen.seen.map(({ dwell }) => Math.log(Math.fround(dwell))),
    };
    const kind = (name) => (/_(weight|dwell)$/.test(name) ? "float32" : "int64");
    return Object.fromEntries(Object.entries(model.about.sizes).map(
      ([name, size]) => [name, new ort.Tensor(kind(name), right(values[name], size), [1, size])]));
  }

  // The best items for visits [[page, seconds], …] and items bought before, best first, with their probabilities.
  async function recommend(visits, bought = [], top = 20) {
    const model = await ready;
    const seen = windowOf(model, visits.map(([page, dwell]) => ({ page, dwell })), bought);
    const found = await model.net.run(feeds(model, seen));
    const { after, count } = model.about.slots ?? { after: found.probability.data.length - 1, count: 0 };
    const label = (id) => (id > after ? seen.unseen[id - after - 1] : model.items[id - 1]);
    let best = [...found.top_item.data].map((id, place) => ({ item: label(Number(id)), probability: found.top_probability.data[place] }));
    if (top > best.length || model.items.length < after) {
      const ids = [...model.items.keys()].concat([...Array(count).keys()].map((slot) => after + slot)).map((id) => id + 1);
      best = ids.map((id) => ({ item: label(id), probability: found.probability.data[id] }));
      best.sort((one, other) => other.probability - one.probability);
    }
    return { items: best.slice(0, Math.min(top, model.items.length)).filter(({ item }) => item !== undefined), seen };
  }

  // Seconds on each page: as told, else until the next visit; on the newest, 1.
  function timed(visits) {
    return visits.map(({ page, dwell, at }, place) => ({
      page, dwell: dwell ?? (place + 1 < visits.length ? Math.max(1, (visits[place + 1].at - at) / 1000) : 1),
    }));
  }

  const listed = (text) => (text ?? "").split(",").map((part) => part.trim()).filter(Boolean);

  async function answer(session, bought) {
    const { about, metadata } = await ready;
    const visits = timed(sessions.get(session) ?? []).map(({ page, dwell }) => [page, dwell]);
    const found = await recommend(visits, bought, Math.min(about.top_k, about.items));
    const items = found.items.map((one) => ({ ...one, metadata: metadata.get(one.item) }));
    return { session, items, model: { name: about.name, version: about.version } };
  }

  async function view(session, bought) {
    const visits = timed(sessions.get(session) ?? []);
    const seen = windowOf(await ready, visits, bought);
    return {
      session, visits, window: seen.page, history: seen.history, bought: seen.bought.map(({ item }) => item),
      unknown_pages: seen.unknownPages,
    };
  }

  // The endpoints that the page calls; what it gives as the user is a list of items bought.
  async function call(method, path, body) {
    const url = new URL(path, "http://local");
    const [, kind, session, what] = url.pathname.split("/").slice(1).map(decodeURIComponent);
    if (kind === "pages") {
      const wanted = url.searchParams.get("contains").toLowerCase();
      const { pages } = await ready;
      return { pages: pages.filter((page) => page.toLowerCase().includes(wanted)).slice(0, Number(url.searchParams.get("limit"))) };
    }
    const bought = listed(body?.user ?? url.searchParams.get("user") ?? document.getElementById("user").value);
    if (method === "POST") {
      const visits = sessions.get(session) ?? [];
      sessions.set(session, [...visits, { page: body.page, dwell: body.dwell, at: performance.now() }]);
    }
    return what === undefined ? view(session, bought) : answer(session, bought);
  }

  return { call, recommend, ready };
})();
