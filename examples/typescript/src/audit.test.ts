import assert from "node:assert/strict";
import { test } from "node:test";
import { AuditError, AuditLog } from "./audit.js";

/** A disk with room for so many bytes. */
class Disk {
  content = "";

  constructor(public room = 1000) {}

  readonly write = (bytes: Uint8Array): Promise<number> => {
    if (this.room === 0) return Promise.reject(new Error("no space left on device"));
    const taken = bytes.subarray(0, this.room);
    this.room -= taken.length;
    this.content += Buffer.from(taken).toString();
    return Promise.resolve(taken.length);
  };
}

test("writes an event once", async () => {
  const disk = new Disk();
  const audit = new AuditLog(disk.write);
  await Promise.all(["1", "2", "1", "2"].map((id) => audit.append(id, { id, seq: 9007199254740993n })));
  assert.equal(disk.content, '{"id":"1","seq":9007199254740993}\n{"id":"2","seq":9007199254740993}\n');
});

test("writes events without an ID each time", async () => {
  const disk = new Disk();
  const audit = new AuditLog(disk.write);
  await audit.append("", {});
  await audit.append("", {});
  assert.equal(disk.content, "{}\n{}\n");
});

test("forgets the oldest event", async () => {
  const disk = new Disk();
  const audit = new AuditLog(disk.write, 2);
  for (const id of ["1", "2", "3", "2", "1"]) await audit.append(id, { id });
  assert.equal(disk.content.replaceAll(/[^0-9]/g, ""), "1231");
});

test("writes again what failed, on a line of its own", async (t) => {
  t.mock.method(console, "error", () => undefined);
  const disk = new Disk(3);
  const audit = new AuditLog(disk.write);
  await assert.rejects(audit.append("1", { id: 1 }), AuditError);
  disk.room = 1000;
  await audit.append("1", { id: 1 });
  assert.equal(disk.content, '{"i\n{"id":1}\n');
});
