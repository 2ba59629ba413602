# D1 as miniflare runs it, without the rest of miniflare: two Workers of its package, one before the
# Durable Object that holds the database. Names and dates are miniflare's own, so that wrangler finds
# the file.

using Workerd = import "/workerd/workerd.capnp";

const entry :Workerd.Worker = (
  modules = [(name = "entry.worker.js", esModule = embed "/d1/entry.worker.js")],
  bindings = [
    (name = "MINIFLARE_OBJECT", durableObjectNamespace = (
      className = "D1DatabaseObject",
      serviceName = "d1-database",
    )),
    (name = "MINIFLARE_NAMESPACE", text = "streamgate-tests"),
  ],
  compatibilityDate = "2023-07-24",
  compatibilityFlags = ["enhanced_error_serialization"],
);

const database :Workerd.Worker = (
  modules = [(name = "database.worker.js", esModule = embed "/d1/database.worker.js")],
  bindings = [(name = "MINIFLARE_BLOBS", service = "d1-files")],
  durableObjectNamespaces = [
    (className = "D1DatabaseObject", uniqueKey = "miniflare-D1DatabaseObject"),
  ],
  durableObjectStorage = (localDisk = "d1-files"),
  compatibilityDate = "2023-07-24",
  compatibilityFlags = ["nodejs_compat", "experimental"],
);

const extension :Workerd.Extension = (
  modules = [
    (name = "miniflare:shared", esModule = embed "/shared/index.worker.js"),
    (name = "miniflare:zod", esModule = embed "/shared/zod.worker.js"),
  ],
);
