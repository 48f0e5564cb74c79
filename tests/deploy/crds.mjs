// Checks objects of custom kinds against their definitions, and prints a JSON array of complaints.
// Arguments: the folder of the packages @kubernetes-models; a file with a JSON array of objects.
//
// The definitions' checks do not mind unknown keys, which a cluster would drop without a word. So the keys that they
// never look at count as unknown.

import { readFileSync } from "node:fs";

const [models, file] = process.argv.slice(2);
const { GRPCRoute, HTTPRoute } = await import(`${models}/gateway-api/gateway.networking.k8s.io/v1/index.js`);
const { ScaledObject } = await import(`${models}/keda/keda.sh/v1alpha1/index.js`);
const { PodMonitor, PrometheusRule, ServiceMonitor } = await import(
  `${models}/prometheus-operator/monitoring.coreos.com/v1/index.js`
);

const kinds = { GRPCRoute, HTTPRoute, PodMonitor, PrometheusRule, ScaledObject, ServiceMonitor };

/** `value`, and in `unread` the paths of the members that nobody has read. */
function watched(value, path, unread) {
  if (value === null || typeof value !== "object") return value;
  const inside = new Map();
  for (const key of Object.keys(value)) {
    unread.add(`${path}/${key}`);
    inside.set(key, watched(value[key], `${path}/${key}`, unread));
  }
  return new Proxy(value, {
    get(target, key) {
      if (!inside.has(key)) return target[key];
      unread.delete(`${path}/${key}`);
      return inside.get(key);
    },
  });
}

const complaints = [];
for (const object of JSON.parse(readFileSync(file, "utf8"))) {
  const name = `${object.kind} ${object.metadata.name}`;
  const Kind = kinds[object.kind];
  if (Kind === undefined || Kind.apiVersion !== object.apiVersion) {
    complaints.push(`${name}: no definition of ${object.apiVersion} ${object.kind}`);
    continue;
  }
  const unread = new Set();
  try {
    Kind.prototype.validate.call(watched(new Kind(object), "", unread));
  } catch (error) {
    complaints.push(`${name}: ${error.message}`);
  }
  for (const path of unread) {
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (!unread.has(parent)) complaints.push(`${name}: ${path} is unknown`);
  }
}
process.stdout.write(JSON.stringify(complaints));
