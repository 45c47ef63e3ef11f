// page.js -- the dashboard: asks the director every two seconds and shows what it said.
import { $, element, figure, keep, put, rate, short, whole } from "./parts.js";
import { draw } from "./picture.js";

const EVERY_MS = 2000;
const PATIENCE_MS = 5000;
const MOST_EVENTS = 100;
const KEPT_RATES = 60;

let chosen = ""; // the service whose picture is drawn
let now = null;
let before = null; // what was said the time before, for rates
let lastEvent = 0;
const history = [];

// ---- Asking ----

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function look() {
  const [said, events] = await Promise.all([
    ask(`page/look?service=${encodeURIComponent(chosen)}`), ask(`page/events?after=${lastEvent}`)]);
  [before, now] = [now, said];
  showEvents(events);
  show();
}

// ---- Showing ----

function show() {
  if (!now) return;
  document.body.classList.toggle("writable", now.writable);
  showFigures();
  showTabs();
  showVerdicts();
  if (now.chosen) {
    chosen = now.chosen.name;
    draw($("#cluster"), now.chosen);
    showServers(now.chosen);
  } else {
    $("#cluster").replaceChildren(element("p", {}, "There is no virtual service."));
    $("#servers tbody").replaceChildren();
  }
}

const seconds = () => before ? now.at_s - before.at_s : 0;

function showFigures() {
  const { stats, states } = now;
  const sum = Object.values(stats.verdicts).reduce((all, count) => all + count, 0);
  const frames = rate(stats.frames, before?.stats.frames, seconds());
  figure($("#frames"), short(frames), "/s");
  figure($("#fresh"), short(stats.rates.connections), "/s");
  figure($("#connections"), whole(stats.connections), "");
  const out = states.down + states.unknown;
  const quiet = states.quiet ? `${states.quiet} quiet` : "";
  figure($("#health"), out ? `${out} down` : `${states.up} up`,
    out ? `of ${out + states.up + states.quiet}` : quiet, out ? "down" : "");
  figure($("#lost"), whole(stats.ring_dropped), "frames", stats.ring_dropped ? "down" : "");
  const missing = stats.frames - sum;
  figure($("#books"), missing ? `${whole(missing)} missing` : "balance", "", missing ? "down" : "");
  document.title = out ? `(${out} down) dr_forwarder` : "dr_forwarder";
  if (before) history.push(frames);
  history.splice(0, history.length - KEPT_RATES);
  drawHistory();
}

function drawHistory() {
  const most = Math.max(1, ...history);
  const step = 120 / (KEPT_RATES - 1);
  const start = 120 - (history.length - 1) * step;
  const points = history.map((each, at) =>
    `L${(start + at * step).toFixed(1)},${(28 - 26 * each / most).toFixed(1)}`);
  $("#history path").setAttribute("d", points.length < 2 ? "" : `M${start.toFixed(1)},28 ${points.join(" ")} L120,28 Z`);
}

function worst(states) {
  return states.down || states.unknown ? "down" : states.quiet ? "quiet" : "up";
}

function showTabs() {
  const tabs = now.services.length < 2 ? [] : now.services;
  keep($("#services"), tabs, (each) => each.name, (each) => {
    const tab = element("button", { type: "button" });
    tab.onclick = () => { chosen = each.name; look().catch(complain); };
    return tab;
  }, (tab, each) => {
    put(tab, each.name, worst(each.states));
    tab.setAttribute("aria-pressed", String(each.name === now.chosen?.name));
  });
}

const COLUMNS = ["Weight", "Active", "Inactive", "New/s", "Packets/s", "Bytes/s"];

function serverRow() {
  return element("tr", {},
    element("td", {}, element("div", { class: "name" }), element("div")),
    element("td", {}, element("span")),
    ...COLUMNS.map((name) => element("td", { "data-label": name })),
    element("td", { class: "orders" }));
}

/** What may be done with a server as it is now. */
function ordersFor(row, server, service) {
  const verbs = server.ordered ? ["enable"] : ["drain", "disable"];
  keep(row, verbs, (verb) => verb, (verb) => {
    const button = element("button", { type: "button" }, verb);
    button.onclick = () => order(verb, service.key, server);
    return button;
  }, () => {});
}

async function order(verb, key, { server, address }) {
  if (verb === "disable" && !confirm(`End all connections to ${server} now?`)) return;
  const answer = await fetch("page/orders", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ order: verb, service: key, server: address }),
  }).catch((error) => ({ ok: false, text: () => error.message }));
  $("#refused").textContent = answer.ok ? "" : `${verb} ${server}: ${await answer.text()}`;
  await look().catch(complain);
}

function showServers({ servers, service, more }) {
  keep($("#servers tbody"), servers, (each) => each.server, serverRow,
    (row, each) => {
      const [name, state, ...cells] = row.children;
      ordersFor(cells.pop(), each, service);
      put(name.children[0], each.server, "name");
      put(name.children[1], each.reason, `why ${each.state}`);
      put(state.children[0], each.state, `badge ${each.state}`);
      const { connections, packets, bytes } = each.rates;
      const figures = [each.weight, each.active, each.inactive, connections, packets, bytes];
      cells.forEach((cell, at) => put(cell, figures[0] === null ? "–" : short(figures[at])));
    });
  put($("#more"), `and ${more} more`, "note");
  $("#more").hidden = more === 0;
}

function showVerdicts() {
  const { stats } = now;
  const seen = Object.entries(stats.verdicts).filter(([, count]) => count > 0)
    .sort(([, one], [, other]) => other - one);
  keep($("#verdicts tbody"), seen, ([name]) => name, ([name]) => element("tr", {},
    element("td", {}, name.replaceAll("_", " "), element("i")), element("td"), element("td")),
  (row, [name, count]) => {
    row.querySelector("i").style.width = `${100 * count / stats.frames}%`;
    put(row.children[1], whole(count));
    put(row.children[2], short(rate(count, before?.stats.verdicts[name], seconds())));
  });
  const foot = $("#verdicts tfoot tr").children;
  put(foot[1], whole(stats.frames));
  put(foot[2], short(rate(stats.frames, before?.stats.frames, seconds())));
}

function mood(kind) {
  if (/^order/.test(kind)) return kind === "order_enabled" ? "good" : "care";
  if (/health_down|conflict|refused|failed|fallback_on/.test(kind)) return "bad";
  if (/quiescent|readded|deleted|purged|soft_failure$/.test(kind)) return "care";
  return /health_up|restored|started|reloaded|fallback_off|over$/.test(kind) ? "good" : "";
}

function showEvents({ last, events }) {
  const list = $("#events");
  if (last < lastEvent) list.replaceChildren(); // another director, whose events are asked for next
  for (const event of events.slice(-MOST_EVENTS)) {
    const when = new Date(event.at_s * 1000);
    list.prepend(element("li", { class: mood(event.kind) },
      element("time", { datetime: when.toISOString() }, when.toLocaleTimeString("en-GB")), event.text));
  }
  lastEvent = last < lastEvent ? 0 : last;
  while (list.children.length > MOST_EVENTS) list.lastChild.remove();
}

// ---- Connections ----

const place = (address, port) => address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
const left = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

function connectionRow(each) {
  const client = place(each.client, each.client_port);
  const why = element("button", { type: "button" }, "explain");
  why.onclick = () => { $("#wanted").value = client; answer(explain); };
  return element("tr", {}, ...[
    client, `${each.protocol} ${place(each.address, each.port)}`, place(each.server, each.server_port),
    each.template ? "template" : each.state, left(each.left_s),
  ].map((text) => element("td", {}, text)), element("td", {}, ...(each.template ? [] : [why])));
}

async function find(wanted) {
  const { count, connections } = await ask(`page/connections?find=${encodeURIComponent(wanted)}`);
  const note = element("p", { class: "note" }, count > connections.length
    ? `${whole(count)} connections, the first ${connections.length} of them` : `${whole(count)} connections`);
  if (!count) return [note];
  const titles = ["Client", "Service", "Server", "State", "Ends in", ""];
  return [element("table", {},
    element("thead", {}, element("tr", {}, ...titles.map((each) => element("th", { scope: "col" }, each)))),
    element("tbody", {}, ...connections.map(connectionRow))), note];
}

async function explain(wanted) {
  const { sentences } = await ask(`page/explain?client=${encodeURIComponent(wanted)}`);
  return sentences.map((line) => element("p", {}, line));
}

async function answer(how) {
  let said;
  try {
    said = await how($("#wanted").value);
  } catch (error) {
    said = [element("p", { class: "wrong" }, error.message)];
  }
  $("#found").replaceChildren(...said);
}

$("#flow").onsubmit = (event) => {
  event.preventDefault();
  answer(event.submitter?.name === "explain" ? explain : find);
};

// ---- The loop ----

function say(text, kind) {
  put($("#state"), text, kind);
}

function complain(error) {
  say(`no answer from the director: ${error.message.trim()}`, "lost");
}

async function turn() {
  const began = performance.now();
  try {
    if (!document.hidden) {
      await look();
      const at = new Date().toLocaleTimeString("en-GB");
      say(now.standby ? `stands by for another director, ${at}` : `running, ${at}`, now.standby ? "standby" : "fine");
    }
  } catch (error) {
    complain(error);
  }
  // A director with very many servers is not asked all the time.
  setTimeout(turn, Math.max(EVERY_MS, 10 * (performance.now() - began)));
}

addEventListener("resize", () => now?.chosen && draw($("#cluster"), now.chosen));
document.addEventListener("visibilitychange", () => document.hidden || look().catch(complain));
turn();
