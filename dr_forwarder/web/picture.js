// picture.js -- the picture of one service: clients, director, real servers, and the way back.
import { short } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
const MOST = 10;
const NARROW = 560;
const HIGH = 52; // of a box
const STEP = 68; // from one server to the next

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** As much of a text as fits; the whole is its title. */
function fitting(text, width, each) {
  const room = Math.floor(width / each);
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}

function box({ x, y, width }, name, small, kind = "") {
  const group = shape("g", { class: kind });
  group.append(
    shape("title", {}, `${name}\n${small}`),
    shape("rect", { x, y, width, height: HIGH, rx: 8 }),
    shape("text", { x: x + 12, y: y + 22, class: "name" }, fitting(name, width - 20, 8.4)),
    shape("text", { x: x + 12, y: y + 40, class: "small" }, fitting(small, width - 20, 6.6)));
  return group;
}

/** Thicker with its share of all packets. */
function arrow(path, head, packets, most) {
  const kind = packets > 0 ? "busy" : "";
  const width = packets > 0 ? 1.75 + 3.25 * (most > 0 ? packets / most : 0) : 1.5;
  return [
    shape("path", { d: path, class: kind, "stroke-width": width.toFixed(2) }),
    shape("path", { d: head, class: `head ${kind}` }),
  ];
}

const rightHead = (x, y) => `M${x - 10},${y - 6} v12 l10,-6 z`;
const downHead = (x, y) => `M${x - 6},${y - 10} h12 l-6,10 z`;
const upHead = (x, y) => `M${x - 5},${y + 9} h10 l-5,-9 z`;
const leftHead = (x, y) => `M${x + 9},${y - 5} v10 l-9,-5 z`;

function label(x, y, packets, anchor) {
  return shape("text", { x, y, class: "rate", "text-anchor": anchor }, `${short(packets)}/s`);
}

function saidOf(server) {
  if (server.state !== "up") return server.reason || server.state;
  return `weight ${server.weight} · ${short(server.active)} active`;
}

function wide(service, servers, total, width) {
  const middle = Math.max(servers.length, 1) * STEP / 2 - (STEP - HIGH) / 2;
  const bottom = Math.max(servers.length, 1) * STEP - (STEP - HIGH);
  const clients = { x: 1, y: middle - HIGH / 2, width: 128 };
  const vip = { x: Math.round(width * 0.3), y: middle - HIGH / 2, width: Math.min(230, width * 0.3) };
  const right = { x: Math.round(width * 0.7), width: Math.round(width * 0.3) - 1 };
  const from = vip.x + vip.width;
  const back = bottom + 26;
  const [home, start] = [clients.x + clients.width / 2, right.x + right.width / 2];
  const shapes = [
    ...arrow(`M${clients.x + clients.width + 4},${middle} H${vip.x - 10}`,
      rightHead(vip.x - 2, middle), total, total),
    label((clients.x + clients.width + vip.x) / 2 - 4, middle - 10, total, "middle"),
    box(clients, "clients", "ask for the VIP"),
    box(vip, service.name, service.under),
    ...servers.flatMap((server, number) => {
      const y = number * STEP + HIGH / 2;
      const bend = (from + right.x) / 2;
      return [
        ...arrow(`M${from + 3},${middle} C${bend},${middle} ${bend},${y} ${right.x - 11},${y}`,
          rightHead(right.x - 2, y), server.rates.packets, total),
        box({ ...right, y: number * STEP }, server.server, saidOf(server), server.state),
      ];
    }),
    ...servers.flatMap((server, number) => {
      const y = number * STEP + HIGH / 2;
      const beside = y > middle ? y + 19 : y - 10; // on the side that the arrow does not come from
      return server.rates.packets > 0 ? [label(right.x - 16, beside, server.rates.packets, "end")] : [];
    }),
    shape("path", { class: "back", d: `M${start},${bottom + 4} V${back - 8} q0,8 -8,8 H${home + 8}`
      + ` q-8,0 -8,-8 V${middle + HIGH / 2 + 12}` }),
    shape("path", { class: "head back", d: upHead(home, middle + HIGH / 2 + 3) }),
    shape("text", { x: (home + start) / 2, y: back + 4, class: "small said", "text-anchor": "middle" },
      "answers, straight to the client"),
  ];
  return { shapes, height: back + 10 };
}

function tall(service, servers, total, width) {
  const clients = { x: (width - 130) / 2, y: 1, width: 130 };
  const vip = { x: (width - 220) / 2, y: 97, width: 220 };
  const first = 185;
  const left = { x: 46, width: width - 46 - 26 };
  const last = first + (Math.max(servers.length, 1) - 1) * STEP + HIGH / 2;
  const [middle, edge] = [width / 2, width - 6];
  const shapes = [
    ...arrow(`M${middle},${HIGH + 5} V86`, downHead(middle, 95), total, total),
    label(middle + 12, 79, total, "start"),
    box(clients, "clients", "ask for the VIP"),
    shape("path", { d: `M${vip.x},123 H22 q-8,0 -8,8 V${last - 8} q0,8 8,8`, "stroke-width": 1.5 }),
    box(vip, service.name, service.under),
    ...servers.flatMap((server, number) => {
      const y = first + number * STEP + HIGH / 2;
      const busy = server.rates.packets > 0;
      return [
        ...arrow(`M14,${y - 8} q0,8 8,8 H35`, rightHead(44, y), server.rates.packets, total),
        box({ ...left, y: y - HIGH / 2 }, server.server, saidOf(server), server.state),
        ...(busy ? [label(left.x + left.width - 12, y - 4, server.rates.packets, "end")] : []),
      ];
    }),
    shape("path", { class: "back", d: `M${edge - 17},${last} H${edge - 8} q8,0 8,-8 V34 q0,-8 -8,-8`
      + ` H${clients.x + clients.width + 13}` }),
    shape("path", { class: "head back", d: leftHead(clients.x + clients.width + 3, 26) }),
  ];
  return { shapes, height: last + HIGH / 2 + 3 };
}

function sentence(service, servers) {
  return `${service.name} has ${servers.length} real servers: ${servers.map((each) =>
    `${each.server} ${each.state}, ${short(each.rates.packets)} packets a second`).join("; ")}`;
}

/** Draws into a node, as wide as it is. */
export function draw(node, chosen) {
  const width = node.clientWidth;
  if (width < 200) return; // before the style is there
  const shown = chosen.servers.slice(0, MOST);
  const rest = chosen.servers.length - shown.length + chosen.more;
  const persistent = chosen.service.persistent_s;
  const under = `${chosen.service.scheduler}${persistent ? `, persistent ${persistent} s` : ""}`;
  const service = { name: chosen.name, under };
  const { shapes, height } = (width < NARROW ? tall : wide)(service, shown, chosen.rates.packets, width);
  const svg = shape("svg", { width, height: height + (rest ? 22 : 0), role: "img",
    "aria-label": sentence(service, chosen.servers) });
  svg.append(...shapes);
  if (rest) svg.append(shape("text", { x: width / 2, y: height + 16, class: "small",
    "text-anchor": "middle" }, `and ${rest} more real servers`));
  node.replaceChildren(svg);
}
