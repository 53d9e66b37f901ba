// Command example uploads a file to Tablemill, follows its job, prints some clean rows and reads them all
// as Arrow.
//
//	go run . -server localhost:50051 -file patients.xlsx
//
// With -break-at it breaks its first stream on purpose and shows how an upload is resumed.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "example.com/tablemill/gen/tablemill/v1"
)

func main() {
	server := flag.String("server", "localhost:50051", "host:port of the ingest service")
	file := flag.String("file", "", "the Excel or CSV file to upload")
	breakAt := flag.Int64("break-at", 0, "break the first stream after so many bytes, to show how it is resumed")
	flag.Parse()
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := run(ctx, *server, *file, *breakAt); err != nil {
		log.Fatal(describe(err))
	}
}

func run(ctx context.Context, server, file string, breakAt int64) error {
	channel, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer channel.Close()
	ingest, data := pb.NewIngestServiceClient(channel), pb.NewDataServiceClient(channel)

	stored, err := upload(ctx, ingest, file, breakAt)
	if err != nil {
		return err
	}
	fmt.Printf("record %s\njob %s\n", stored.GetRecordId(), stored.GetJobId())

	job, err := watch(ctx, ingest, stored.GetJobId())
	if err != nil {
		return err
	}
	if job.GetState() != pb.JobState_JOB_STATE_SUCCEEDED {
		return fmt.Errorf("the job failed: %s: %s", job.GetError().GetReason(), job.GetError().GetMessage())
	}
	if err := preview(ctx, data, stored.GetRecordId()); err != nil {
		return err
	}
	return rows(ctx, data, stored.GetRecordId())
}

// watch follows one job until it is done; a stream that breaks is resumed after the last version seen.
func watch(ctx context.Context, ingest pb.IngestServiceClient, jobID string) (*pb.Job, error) {
	job := &pb.Job{}
	for !job.GetDone() {
		target := &pb.WatchTarget{JobId: jobID, AfterVersion: job.GetVersion()}
		stream, err := ingest.WatchStatus(ctx, &pb.WatchStatusRequest{Targets: []*pb.WatchTarget{target}})
		if err != nil {
			return nil, err
		}
		for !job.GetDone() {
			message, err := stream.Recv()
			if isTransient(err) {
				break
			}
			if err != nil {
				return nil, err
			}
			for _, job = range message.GetJobs() { // none in a heartbeat
				progress := job.GetProgress()
				fmt.Printf("%s %s %d/%d\n", job.GetState(), progress.GetStage(), progress.GetDone(), progress.GetTotal())
			}
		}
		if !job.GetDone() {
			if err := pause(ctx); err != nil {
				return nil, err
			}
		}
	}
	return job, nil
}

func preview(ctx context.Context, data pb.DataServiceClient, recordID string) error {
	page, err := data.PreviewRecord(ctx, &pb.PreviewRecordRequest{RecordId: recordID, RowLimit: 3})
	if err != nil {
		return err
	}
	names := make([]string, len(page.GetColumns()))
	for i, column := range page.GetColumns() {
		names[i] = column.GetName()
	}
	fmt.Printf("%d rows x %d columns\n%s\n", page.GetRowCount(), len(names), strings.Join(names, " | "))
	for _, row := range page.GetRows() {
		cells := make([]string, len(row.GetCells()))
		for i, cell := range row.GetCells() {
			cells[i] = text(cell)
		}
		fmt.Println(strings.Join(cells, " | "))
	}
	return nil
}

func text(cell *pb.Cell) string {
	switch kind := cell.GetKind().(type) {
	case *pb.Cell_Text:
		return kind.Text
	case *pb.Cell_Int64:
		return fmt.Sprint(kind.Int64)
	case *pb.Cell_Float64:
		return fmt.Sprint(kind.Float64)
	case *pb.Cell_Bool:
		return fmt.Sprint(kind.Bool)
	case *pb.Cell_Date:
		return kind.Date
	case *pb.Cell_Timestamp:
		return kind.Timestamp
	default:
		return "" // null
	}
}

// describe returns the reason that the server gave, when it gave one.
func describe(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return fmt.Sprintf("%s: %s", info.GetReason(), status.Convert(err).Message())
		}
	}
	return err.Error()
}

// newRequestID returns a random (version 4) UUID.
func newRequestID() string {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errBroken = errors.New("the stream was broken on purpose")
