// The landmarks of every face in a picture, and which of them are least certain.
//
//	predict [-server localhost:50051] photo.jpg
//
// The stubs in exalignv1 are generated from the protos: README.md says how.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"time"

	"github.com/exalign/exalign/examples/go/exalignv1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Landmarks that are named of each face.
const shown = 5

// largest is the size of an answer that is taken; gRPC's own bound is 4 MB.
const largest = 64 << 20

func main() {
	log.SetFlags(0)
	server := flag.String("server", "localhost:50051", "address of the server")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: predict [-server HOST:PORT] PICTURE")
	}
	picture, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	// Without TLS: the server is on this machine. Elsewhere: grpc.WithTransportCredentials.
	connection, err := grpc.Dial(*server, grpc.WithInsecure(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largest), grpc.WaitForReady(true)))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	if err := predict(exalignv1.NewFaceAlignmentServiceClient(connection), picture); err != nil {
		log.Fatal(explained(err))
	}
}

func predict(client exalignv1.FaceAlignmentServiceClient, picture []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := client.PredictLandmarks(ctx, &exalignv1.PredictLandmarksRequest{
		Image: &exalignv1.Image{Source: &exalignv1.Image_Encoded{Encoded: picture}},
	})
	if err != nil {
		return err
	}
	for number, face := range answer.GetFaces() {
		fmt.Printf("face %d: presence %.2f\n", number, face.GetPresence())
		found := face.GetLandmarks()
		points, confidences := found.GetPoints(), found.GetConfidences()
		order := make([]int, len(confidences))
		for n := range order {
			order[n] = n
		}
		sort.SliceStable(order, func(a, b int) bool { return confidences[order[a]] < confidences[order[b]] })
		for _, n := range order[:min(shown, len(order))] {
			fmt.Printf("  landmark %d at (%.1f, %.1f), confidence %.2f\n", n, points[2*n], points[2*n+1], confidences[n])
		}
	}
	return nil
}

// explained names every wrong field of a refused request.
func explained(err error) string {
	text := err.Error()
	for _, detail := range status.Convert(err).Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			for _, field := range request.GetFieldViolations() {
				text += fmt.Sprintf("\n%s: %s", field.GetField(), field.GetDescription())
			}
		}
	}
	return text
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
