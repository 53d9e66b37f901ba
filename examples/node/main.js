// Uploads a file to Tablemill, follows its job and prints some clean rows. No code is generated: the client is
// made from the .proto files at start.
//
//   node main.js localhost:50051 patients.xlsx

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createReadStream, statSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const CHUNK_BYTES = 256 * 1024;
const protos = fileURLToPath(new URL("../../protos", import.meta.url));
const definitions = loadSync(
  ["ingest_service.proto", "data_service.proto"].map((name) => join("tablemill", "v1", name)),
  // 64-bit integers stay text: a JavaScript number would round them.
  { includeDirs: [protos], keepCase: true, longs: String, enums: String, oneofs: true, defaults: true },
);
const { tablemill } = grpc.loadPackageDefinition(definitions);

function upload(ingest, path) {
  return new Promise((resolve, reject) => {
    const stream = ingest.UploadFile((error, stored) => (error ? reject(error) : resolve(stored)));
    sendFile(stream, path).catch((error) => {
      stream.cancel();
      reject(error);
    });
  });
}

// The crc32c fields are left out: they are optional, and Node has no CRC32C of its own.
async function sendFile(stream, path) {
  const size_bytes = statSync(path).size;
  await write(stream, { header: { request_id: randomUUID(), file_name: basename(path), size_bytes } });
  let offset = 0;
  for await (const data of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    await write(stream, { chunk: { offset, data } });
    offset += data.length;
  }
  await write(stream, { finish: { size_bytes: offset } });
  stream.end();
}

// Waits while the server cannot take more, so that a large file does not pile up in memory.
async function write(stream, message) {
  if (!stream.write(message)) await once(stream, "drain");
}

// Follows one job until it is done; a stream that breaks is resumed after the last version seen.
async function watch(ingest, job_id) {
  let job = { done: false, version: "0" };
  while (!job.done) {
    const stream = ingest.WatchStatus({ targets: [{ job_id, after_version: job.version }] });
    try {
      for await (const message of stream) {
        for (job of message.jobs) { // none in a heartbeat
          const { stage = "", done = 0, total = 0 } = job.progress ?? {};
          console.log(`${job.state} ${stage} ${done}/${total}`);
        }
      }
    } catch (error) {
      if (error.code !== grpc.status.UNAVAILABLE) throw error;
    }
    if (!job.done) await sleep(1000);
  }
  return job;
}

async function preview(data, record_id) {
  const page = await promisify(data.PreviewRecord.bind(data))({ record_id, row_limit: 3 });
  console.log(`${page.row_count} rows x ${page.columns.length} columns`);
  console.log(page.columns.map((column) => column.name).join(" | "));
  for (const row of page.rows) {
    // `kind` names the field that is set; none is set for null.
    console.log(row.cells.map((cell) => (cell.kind ? cell[cell.kind] : "")).join(" | "));
  }
}

async function main([server, path]) {
  const credentials = grpc.credentials.createInsecure();
  const ingest = new tablemill.v1.IngestService(server, credentials);
  const data = new tablemill.v1.DataService(server, credentials);
  const stored = await upload(ingest, path);
  console.log(`record ${stored.record_id}\njob ${stored.job_id}`);
  const job = await watch(ingest, stored.job_id);
  if (job.state !== "JOB_STATE_SUCCEEDED") {
    throw new Error(`the job failed: ${job.error?.reason}: ${job.error?.message}`);
  }
  await preview(data, stored.record_id);
  ingest.close();
  data.close();
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
