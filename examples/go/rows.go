package main

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc"

	pb "example.com/tablemill/gen/tablemill/v1"
)

// rows reads all clean data as Arrow record batches and prints its shape and schema.
func rows(ctx context.Context, data pb.DataServiceClient, recordID string) error {
	stream, err := data.ReadRows(ctx, &pb.ReadRowsRequest{RecordId: recordID})
	if err != nil {
		return err
	}
	reader, err := ipc.NewReader(&arrowStream{stream: stream})
	if err != nil {
		return err
	}
	defer reader.Release()
	count := int64(0)
	for reader.Next() {
		count += reader.RecordBatch().NumRows() // the batch is valid until the next one
	}
	fields := reader.Schema().Fields()
	fmt.Printf("%d rows x %d columns as Arrow, the first is %s: %s\n", count, len(fields), fields[0].Name, fields[0].Type)
	return reader.Err()
}

// arrowStream puts the Arrow bytes of the messages together, which is one Arrow IPC stream.
type arrowStream struct {
	stream grpc.ServerStreamingClient[pb.ReadRowsResponse]
	left   []byte
}

func (s *arrowStream) Read(into []byte) (int, error) {
	for len(s.left) == 0 {
		message, err := s.stream.Recv()
		if err != nil {
			return 0, err // io.EOF at the end, as a reader has it
		}
		s.left = message.GetArrowIpc()
	}
	count := copy(into, s.left)
	s.left = s.left[count:]
	return count, nil
}
