package com.example.tablemill;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.io.InputStream;
import java.util.Iterator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.ipc.ArrowStreamReader;
import tablemill.v1.DataServiceGrpc;
import tablemill.v1.DataServiceOuterClass.ReadRowsRequest;
import tablemill.v1.DataServiceOuterClass.ReadRowsResponse;

/**
 * Reads all clean data of a record as Arrow record batches and prints its shape and schema.
 *
 * <p>mvn -q compile exec:exec -Dserver=localhost:50051 -Drecord=RECORD_ID
 */
public final class Rows {
  private Rows() {}

  public static void main(String[] args) throws Exception {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(args[0]).usePlaintext().build();
    ReadRowsRequest request = ReadRowsRequest.newBuilder().setRecordId(args[1]).build();
    Iterator<ReadRowsResponse> messages = DataServiceGrpc.newBlockingStub(channel).readRows(request);
    try (RootAllocator allocator = new RootAllocator();
        ArrowStreamReader reader = new ArrowStreamReader(new ArrowStream(messages), allocator)) {
      long rows = 0;
      while (reader.loadNextBatch()) {
        rows += reader.getVectorSchemaRoot().getRowCount(); // the batch is valid until the next one
      }
      var fields = reader.getVectorSchemaRoot().getSchema().getFields();
      System.out.printf(
          "%d rows x %d columns as Arrow, the first is %s: %s%n",
          rows, fields.size(), fields.get(0).getName(), fields.get(0).getType());
    } finally {
      channel.shutdownNow();
    }
  }

  /** Puts the Arrow bytes of the messages together, which is one Arrow IPC stream. */
  private static final class ArrowStream extends InputStream {
    private final Iterator<ReadRowsResponse> messages;
    private InputStream part = InputStream.nullInputStream();

    ArrowStream(Iterator<ReadRowsResponse> messages) {
      this.messages = messages;
    }

    @Override
    public int read() throws java.io.IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] into, int offset, int length) throws java.io.IOException {
      int count = part.read(into, offset, length);
      while (count < 0 && messages.hasNext()) {
        part = messages.next().getArrowIpc().newInput();
        count = part.read(into, offset, length);
      }
      return count;
    }
  }
}
