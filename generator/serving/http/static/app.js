"use strict";
// The page: visits go to the API, and what comes back is drawn. All text is set as text, never as markup.

const at = (id) => document.getElementById(id);
let work = Promise.resolve(); // visits are sent one after another, in the order of the clicks

async function remote(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (response.status === 401) at("token-row").hidden = false;
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.error), { status: response.status });
  return answer;
}

// An exported page answers by itself: local.js.
const call = globalThis.local?.call ?? remote;

function queue(step) {
  work = work.then(step).then(() => { at("status").textContent = ""; }, (error) => { at("status").textContent = error.message; });
  return work;
}

const path = () => `/v1/sessions/${encodeURIComponent(at("session").value)}`;
const user = () => at("user").value || undefined;

function row(name, figure, share) {
  const line = document.createElement("li");
  for (const [kind, text] of [["bar", ""], ["name", name], ["figure", figure]]) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    line.append(part);
  }
  line.firstChild.style.transform = `scaleX(${share})`;
  line.title = name;
  return line;
}

// What the shop says of an item, beside its id: the image loads once it is in view, and only from the web.
function shownItem(one, share) {
  const line = row(one.item, one.probability.toFixed(4), share);
  const { image, title, category, price } = one.metadata ?? {};
  if (!one.metadata) return line;
  line.classList.add("known");
  const source = image ? new URL(image, document.baseURI) : null;
  const picture = document.createElement(["http:", "https:"].includes(source?.protocol) ? "img" : "span");
  picture.className = "picture";
  if (picture.tagName === "IMG") Object.assign(picture, { loading: "lazy", alt: "", src: source.href });
  const about = document.createElement("span");
  about.className = "about";
  for (const [kind, text] of [["title", title], ["category", category], ["price", price?.toLocaleString()]]) {
    if (text === undefined) continue;
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    about.append(part);
  }
  const [bar, name, figure] = line.children;
  about.append(name);
  line.replaceChildren(bar, picture, about, figure);
  return line;
}

function list(id, rows, none) {
  if (!rows.length) {
    rows = [row(none, "", 0)];
    rows[0].classList.add("empty");
  }
  at(id).replaceChildren(...rows);
}

function drawItems(answer) {
  at("model").textContent = `${answer.model.name}, version ${answer.model.version}`;
  const best = answer.items.length ? answer.items[0].probability : 1;
  list("items", answer.items.map((one) => shownItem(one, one.probability / best)), "nothing");
}

function drawSession(view) {
  list("window", view.window.map((one) => row(one.page, `${one.dwell.toFixed(0)} s`, 0)), "empty");
  list("history", view.history.map((one) => row(one.page, `${one.dwell.toFixed(0)} s  ε ${one.weight.toFixed(3)}`, one.weight)), "empty");
  list("bought", view.bought.map((one) => row(one, "", 0)), "nothing the model knows");
  at("unknown").textContent = view.unknown_pages ? `${view.unknown_pages} of ${view.visits.length} visits passed over: pages unknown to the model` : "";
}

const EMPTY = { window: [], history: [], bought: [], unknown_pages: 0, visits: [] };

async function view() {
  try {
    return await call("GET", path());
  } catch (error) {
    if (error.status === 404) return EMPTY;
    throw error;
  }
}

function recommendations() {
  return `${path()}/recommendations${user() ? `?user=${encodeURIComponent(user())}` : ""}`;
}

async function refresh() {
  drawItems(await call("GET", recommendations()));
  drawSession(await view());
}

async function visit(page, extra) {
  drawItems(await call("POST", `${path()}/visits`, { page, user: user(), event: crypto.randomUUID?.(), ...extra }));
  drawSession(await view());
}

async function offer() {
  const found = await call("GET", `/v1/pages?limit=60&contains=${encodeURIComponent(at("filter").value)}`);
  at("pages").replaceChildren(...found.pages.map((page) => {
    const button = document.createElement("button");
    button.textContent = page;
    button.dataset.page = page;
    return button;
  }));
}

async function begin() {
  at("session").value = `web-${Math.random().toString(36).slice(2, 10)}`;
  drawItems(await call("GET", recommendations()));
  drawSession(EMPTY);
}

function parsed(text) {
  return text.split(/[,\n]/).map((part) => part.trim()).filter(Boolean).map((part) => {
    const [, page, seconds] = /^(.*?)(?::([0-9.]+))?$/.exec(part);
    return { page, dwell: seconds === undefined ? 1 : Number(seconds) };
  });
}

async function replay(steps) {
  await begin();
  for (const { page, dwell } of steps) {
    await visit(page, { dwell });
    await new Promise((done) => { setTimeout(done, 250); });
  }
}

at("pages").addEventListener("click", (event) => {
  const { page } = event.target.dataset;
  if (page !== undefined) queue(() => visit(page));
});
at("chooser").addEventListener("submit", (event) => { event.preventDefault(); queue(refresh); });
at("fresh").addEventListener("click", () => queue(begin));
at("filter").addEventListener("input", () => queue(offer));
at("replayer").addEventListener("submit", (event) => { event.preventDefault(); queue(() => replay(parsed(at("replay").value))); });
at("again").addEventListener("click", () => queue(async () => replay((await view()).visits)));
at("token").addEventListener("change", (event) => {
  sessionStorage.setItem("token", event.target.value);
  queue(offer);
  queue(begin);
});

queue(offer);
queue(begin);
