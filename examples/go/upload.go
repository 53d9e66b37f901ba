package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "example.com/tablemill/gen/tablemill/v1"
)

const chunkBytes = 256 * 1024

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// upload sends a file. All its streams carry one request id; each starts where the server's copy ends.
func upload(
	ctx context.Context, ingest pb.IngestServiceClient, path string, breakAt int64,
) (*pb.UploadFileResponse, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	requestID := newRequestID()
	offset := int64(0)
	for {
		stored, err := send(ctx, ingest, file, requestID, offset, breakAt)
		if err == nil || !(isTransient(err) || errors.Is(err, errBroken)) {
			return stored, err
		}
		breakAt = 0
		if err := pause(ctx); err != nil {
			return nil, err
		}
		answer, err := ingest.GetUpload(ctx, &pb.GetUploadRequest{RequestId: requestID})
		switch {
		case status.Code(err) == codes.NotFound: // not even the header arrived
			offset = 0
		case err != nil && !isTransient(err):
			return nil, err
		case answer.GetUpload().GetState() == pb.UploadState_UPLOAD_STATE_REFUSED:
			refusal := answer.GetUpload().GetError()
			return nil, fmt.Errorf("%s: %s", refusal.GetReason(), refusal.GetMessage())
		case err == nil:
			// Once stored, the same header gets the stored answer: sending again is always right.
			offset = answer.GetUpload().GetCommittedSizeBytes()
		}
		fmt.Printf("resuming at byte %d\n", offset)
	}
}

// send sends one stream: the header, the bytes from offset on, the finish.
func send(
	ctx context.Context, ingest pb.IngestServiceClient, file *os.File, requestID string, offset, breakAt int64,
) (*pb.UploadFileResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := ingest.UploadFile(ctx)
	if err != nil {
		return nil, err
	}
	header := &pb.UploadHeader{RequestId: requestID, FileName: filepath.Base(file.Name())}
	message := &pb.UploadFileRequest{Part: &pb.UploadFileRequest_Header{Header: header}}
	crc, err := crcOfPrefix(file, offset)
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, chunkBytes)
	for stream.Send(message) == nil { // after a failure CloseAndRecv tells what the server said
		if message.GetFinish() != nil {
			break
		}
		if breakAt > 0 && offset >= breakAt {
			return nil, errBroken
		}
		count, err := file.ReadAt(buffer, offset)
		if err != nil && err != io.EOF {
			return nil, err
		}
		data := buffer[:count]
		if count == 0 {
			message = &pb.UploadFileRequest{Part: &pb.UploadFileRequest_Finish{
				Finish: &pb.UploadFinish{SizeBytes: offset, Crc32C: &crc},
			}}
			continue
		}
		crcOfChunk := crc32.Checksum(data, castagnoli)
		message = &pb.UploadFileRequest{Part: &pb.UploadFileRequest_Chunk{
			Chunk: &pb.UploadChunk{Offset: offset, Data: data, Crc32C: &crcOfChunk},
		}}
		crc = crc32.Update(crc, castagnoli, data)
		offset += int64(count)
	}
	return stream.CloseAndRecv()
}

func crcOfPrefix(file *os.File, size int64) (uint32, error) {
	hash := crc32.New(castagnoli)
	_, err := io.Copy(hash, io.NewSectionReader(file, 0, size))
	return hash.Sum32(), err
}

func isTransient(err error) bool {
	return status.Code(err) == codes.Unavailable || errors.Is(err, io.EOF)
}
