// The OTLP receiver of the OpenTelemetry Collector: ADDRESS [CERTIFICATE KEY]. What it takes is printed in OTLP's JSON, an object a line.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

var printing sync.Mutex

func say(text []byte, err error) error {
	if err != nil {
		return err
	}
	printing.Lock()
	defer printing.Unlock()
	_, err = fmt.Println(string(text))
	return err
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	spans, err := consumer.NewTraces(func(_ context.Context, got ptrace.Traces) error {
		return say((&ptrace.JSONMarshaler{}).MarshalTraces(got))
	})
	check(err)
	metrics, err := consumer.NewMetrics(func(_ context.Context, got pmetric.Metrics) error {
		return say((&pmetric.JSONMarshaler{}).MarshalMetrics(got))
	})
	check(err)

	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	server := &config.Protocols.HTTP.GetOrInsertDefault().ServerConfig
	server.Endpoint = os.Args[1]
	if len(os.Args) > 3 {
		files := configtls.Config{CertFile: os.Args[2], KeyFile: os.Args[3]}
		server.TLS = configoptional.Some(configtls.ServerConfig{Config: files})
	}
	settings := receivertest.NewNopSettings(factory.Type())
	ctx := context.Background()
	// Both are the same receiver, which is made once for a configuration.
	receivers := make([]component.Component, 2)
	receivers[0], err = factory.CreateTraces(ctx, settings, config, spans)
	check(err)
	receivers[1], err = factory.CreateMetrics(ctx, settings, config, metrics)
	check(err)
	for _, receiver := range receivers {
		check(receiver.Start(ctx, componenttest.NewNopHost()))
	}
	fmt.Println(`{"ready": true}`)
	// Until whoever started it has enough.
	select {}
}
