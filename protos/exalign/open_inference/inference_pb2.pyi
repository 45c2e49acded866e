
from collections import abc as _abc
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
import builtins as _builtins
import sys
import typing as _typing

if sys.version_info >= (3, 11):
    from typing import TypeAlias as _TypeAlias, Never as _Never
else:
    from typing_extensions import TypeAlias as _TypeAlias, Never as _Never

DESCRIPTOR: _descriptor.FileDescriptor

@_typing.final
class ServerLiveRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    def __init__(
        self,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ServerLiveRequest: _TypeAlias = ServerLiveRequest  # noqa: Y015

@_typing.final
class ServerLiveResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LIVE_FIELD_NUMBER: _builtins.int
    live: _builtins.bool
    def __init__(
        self,
        *,
        live: _builtins.bool = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["live", b"live"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ServerLiveResponse: _TypeAlias = ServerLiveResponse  # noqa: Y015

@_typing.final
class ServerReadyRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    def __init__(
        self,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ServerReadyRequest: _TypeAlias = ServerReadyRequest  # noqa: Y015

@_typing.final
class ServerReadyResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    READY_FIELD_NUMBER: _builtins.int
    ready: _builtins.bool
    def __init__(
        self,
        *,
        ready: _builtins.bool = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["ready", b"ready"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ServerReadyResponse: _TypeAlias = ServerReadyResponse  # noqa: Y015

@_typing.final
class ModelReadyRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    VERSION_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    version: _builtins.str
    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        version: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["name", b"name", "version", b"version"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelReadyRequest: _TypeAlias = ModelReadyRequest  # noqa: Y015

@_typing.final
class ModelReadyResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    READY_FIELD_NUMBER: _builtins.int
    ready: _builtins.bool
    def __init__(
        self,
        *,
        ready: _builtins.bool = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["ready", b"ready"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelReadyResponse: _TypeAlias = ModelReadyResponse  # noqa: Y015

@_typing.final
class ServerMetadataRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    def __init__(
        self,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ServerMetadataRequest: _TypeAlias = ServerMetadataRequest  # noqa: Y015

@_typing.final
class ServerMetadataResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    VERSION_FIELD_NUMBER: _builtins.int
    EXTENSIONS_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    version: _builtins.str
    @_builtins.property
    def extensions(self) -> _containers.RepeatedScalarFieldContainer[_builtins.str]:
        """Extensions of the protocol that it has."""

    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        version: _builtins.str = ...,
        extensions: _abc.Iterable[_builtins.str] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["extensions", b"extensions", "name", b"name", "version", b"version"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ServerMetadataResponse: _TypeAlias = ServerMetadataResponse  # noqa: Y015

@_typing.final
class ModelMetadataRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    VERSION_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    version: _builtins.str
    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        version: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["name", b"name", "version", b"version"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelMetadataRequest: _TypeAlias = ModelMetadataRequest  # noqa: Y015

@_typing.final
class ModelMetadataResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    @_typing.final
    class TensorMetadata(_message.Message):

        DESCRIPTOR: _descriptor.Descriptor

        NAME_FIELD_NUMBER: _builtins.int
        DATATYPE_FIELD_NUMBER: _builtins.int
        SHAPE_FIELD_NUMBER: _builtins.int
        name: _builtins.str
        datatype: _builtins.str
        @_builtins.property
        def shape(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
            """Its shape; −1: of any size."""

        def __init__(
            self,
            *,
            name: _builtins.str = ...,
            datatype: _builtins.str = ...,
            shape: _abc.Iterable[_builtins.int] | None = ...,
        ) -> None: ...
        _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
        def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
        _ClearFieldArgType: _TypeAlias = _typing.Literal["datatype", b"datatype", "name", b"name", "shape", b"shape"]  # noqa: Y015
        def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
        def WhichOneof(self, oneof_group: _Never) -> None: ...

    @_typing.final
    class PropertiesEntry(_message.Message):
        DESCRIPTOR: _descriptor.Descriptor

        KEY_FIELD_NUMBER: _builtins.int
        VALUE_FIELD_NUMBER: _builtins.int
        key: _builtins.str
        value: _builtins.str
        def __init__(
            self,
            *,
            key: _builtins.str = ...,
            value: _builtins.str = ...,
        ) -> None: ...
        _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
        def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
        _ClearFieldArgType: _TypeAlias = _typing.Literal["key", b"key", "value", b"value"]  # noqa: Y015
        def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
        def WhichOneof(self, oneof_group: _Never) -> None: ...

    NAME_FIELD_NUMBER: _builtins.int
    VERSIONS_FIELD_NUMBER: _builtins.int
    PLATFORM_FIELD_NUMBER: _builtins.int
    INPUTS_FIELD_NUMBER: _builtins.int
    OUTPUTS_FIELD_NUMBER: _builtins.int
    PROPERTIES_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    platform: _builtins.str
    @_builtins.property
    def versions(self) -> _containers.RepeatedScalarFieldContainer[_builtins.str]:
        """Its versions: the name of the bundle, GetModelResponse.bundle_id."""

    @_builtins.property
    def inputs(self) -> _containers.RepeatedCompositeFieldContainer[Global___ModelMetadataResponse.TensorMetadata]:
        """What it takes."""

    @_builtins.property
    def outputs(self) -> _containers.RepeatedCompositeFieldContainer[Global___ModelMetadataResponse.TensorMetadata]:
        """What it gives."""

    @_builtins.property
    def properties(self) -> _containers.ScalarMap[_builtins.str, _builtins.str]:
        """What else is to be known, by name."""

    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        versions: _abc.Iterable[_builtins.str] | None = ...,
        platform: _builtins.str = ...,
        inputs: _abc.Iterable[Global___ModelMetadataResponse.TensorMetadata] | None = ...,
        outputs: _abc.Iterable[Global___ModelMetadataResponse.TensorMetadata] | None = ...,
        properties: _abc.Mapping[_builtins.str, _builtins.str] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["inputs", b"inputs", "name", b"name", "outputs", b"outputs", "platform", b"platform", "properties", b"properties", "versions", b"versions"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelMetadataResponse: _TypeAlias = ModelMetadataResponse  # noqa: Y015

@_typing.final
class ModelInferRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    @_typing.final
    class InferInputTensor(_message.Message):

        DESCRIPTOR: _descriptor.Descriptor

        @_typing.final
        class ParametersEntry(_message.Message):
            DESCRIPTOR: _descriptor.Descriptor

            KEY_FIELD_NUMBER: _builtins.int
            VALUE_FIELD_NUMBER: _builtins.int
            key: _builtins.str
            @_builtins.property
            def value(self) -> Global___InferParameter: ...
            def __init__(
                self,
                *,
                key: _builtins.str = ...,
                value: Global___InferParameter | None = ...,
            ) -> None: ...
            _HasFieldArgType: _TypeAlias = _typing.Literal["value", b"value"]  # noqa: Y015
            def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
            _ClearFieldArgType: _TypeAlias = _typing.Literal["key", b"key", "value", b"value"]  # noqa: Y015
            def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
            def WhichOneof(self, oneof_group: _Never) -> None: ...

        NAME_FIELD_NUMBER: _builtins.int
        DATATYPE_FIELD_NUMBER: _builtins.int
        SHAPE_FIELD_NUMBER: _builtins.int
        PARAMETERS_FIELD_NUMBER: _builtins.int
        CONTENTS_FIELD_NUMBER: _builtins.int
        name: _builtins.str
        datatype: _builtins.str
        @_builtins.property
        def shape(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
            """Its shape."""

        @_builtins.property
        def parameters(self) -> _containers.MessageMap[_builtins.str, Global___InferParameter]:
            """Not read, but for those that say that the values lie elsewhere: INVALID_ARGUMENT."""

        @_builtins.property
        def contents(self) -> Global___InferTensorContents:
            """Its values, where none are raw."""

        def __init__(
            self,
            *,
            name: _builtins.str = ...,
            datatype: _builtins.str = ...,
            shape: _abc.Iterable[_builtins.int] | None = ...,
            parameters: _abc.Mapping[_builtins.str, Global___InferParameter] | None = ...,
            contents: Global___InferTensorContents | None = ...,
        ) -> None: ...
        _HasFieldArgType: _TypeAlias = _typing.Literal["contents", b"contents"]  # noqa: Y015
        def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
        _ClearFieldArgType: _TypeAlias = _typing.Literal["contents", b"contents", "datatype", b"datatype", "name", b"name", "parameters", b"parameters", "shape", b"shape"]  # noqa: Y015
        def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
        def WhichOneof(self, oneof_group: _Never) -> None: ...

    @_typing.final
    class InferRequestedOutputTensor(_message.Message):

        DESCRIPTOR: _descriptor.Descriptor

        @_typing.final
        class ParametersEntry(_message.Message):
            DESCRIPTOR: _descriptor.Descriptor

            KEY_FIELD_NUMBER: _builtins.int
            VALUE_FIELD_NUMBER: _builtins.int
            key: _builtins.str
            @_builtins.property
            def value(self) -> Global___InferParameter: ...
            def __init__(
                self,
                *,
                key: _builtins.str = ...,
                value: Global___InferParameter | None = ...,
            ) -> None: ...
            _HasFieldArgType: _TypeAlias = _typing.Literal["value", b"value"]  # noqa: Y015
            def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
            _ClearFieldArgType: _TypeAlias = _typing.Literal["key", b"key", "value", b"value"]  # noqa: Y015
            def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
            def WhichOneof(self, oneof_group: _Never) -> None: ...

        NAME_FIELD_NUMBER: _builtins.int
        PARAMETERS_FIELD_NUMBER: _builtins.int
        name: _builtins.str
        @_builtins.property
        def parameters(self) -> _containers.MessageMap[_builtins.str, Global___InferParameter]:
            """Not read, but for those that would change the answer: INVALID_ARGUMENT."""

        def __init__(
            self,
            *,
            name: _builtins.str = ...,
            parameters: _abc.Mapping[_builtins.str, Global___InferParameter] | None = ...,
        ) -> None: ...
        _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
        def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
        _ClearFieldArgType: _TypeAlias = _typing.Literal["name", b"name", "parameters", b"parameters"]  # noqa: Y015
        def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
        def WhichOneof(self, oneof_group: _Never) -> None: ...

    @_typing.final
    class ParametersEntry(_message.Message):
        DESCRIPTOR: _descriptor.Descriptor

        KEY_FIELD_NUMBER: _builtins.int
        VALUE_FIELD_NUMBER: _builtins.int
        key: _builtins.str
        @_builtins.property
        def value(self) -> Global___InferParameter: ...
        def __init__(
            self,
            *,
            key: _builtins.str = ...,
            value: Global___InferParameter | None = ...,
        ) -> None: ...
        _HasFieldArgType: _TypeAlias = _typing.Literal["value", b"value"]  # noqa: Y015
        def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
        _ClearFieldArgType: _TypeAlias = _typing.Literal["key", b"key", "value", b"value"]  # noqa: Y015
        def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
        def WhichOneof(self, oneof_group: _Never) -> None: ...

    MODEL_NAME_FIELD_NUMBER: _builtins.int
    MODEL_VERSION_FIELD_NUMBER: _builtins.int
    ID_FIELD_NUMBER: _builtins.int
    PARAMETERS_FIELD_NUMBER: _builtins.int
    INPUTS_FIELD_NUMBER: _builtins.int
    OUTPUTS_FIELD_NUMBER: _builtins.int
    RAW_INPUT_CONTENTS_FIELD_NUMBER: _builtins.int
    model_name: _builtins.str
    model_version: _builtins.str
    id: _builtins.str
    @_builtins.property
    def parameters(self) -> _containers.MessageMap[_builtins.str, Global___InferParameter]:
        """Not read, but for those that would change the answer: INVALID_ARGUMENT."""

    @_builtins.property
    def inputs(self) -> _containers.RepeatedCompositeFieldContainer[Global___ModelInferRequest.InferInputTensor]:
        """What is given: the picture, and where faces are."""

    @_builtins.property
    def outputs(self) -> _containers.RepeatedCompositeFieldContainer[Global___ModelInferRequest.InferRequestedOutputTensor]:
        """What is wanted, in this order. Empty: everything."""

    @_builtins.property
    def raw_input_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.bytes]:
        """The values of each input in turn, little-endian, row by row; of BYTES, each element behind its length as four
        bytes. Empty: the values are in `contents`.
        """

    def __init__(
        self,
        *,
        model_name: _builtins.str = ...,
        model_version: _builtins.str = ...,
        id: _builtins.str = ...,
        parameters: _abc.Mapping[_builtins.str, Global___InferParameter] | None = ...,
        inputs: _abc.Iterable[Global___ModelInferRequest.InferInputTensor] | None = ...,
        outputs: _abc.Iterable[Global___ModelInferRequest.InferRequestedOutputTensor] | None = ...,
        raw_input_contents: _abc.Iterable[_builtins.bytes] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["id", b"id", "inputs", b"inputs", "model_name", b"model_name", "model_version", b"model_version", "outputs", b"outputs", "parameters", b"parameters", "raw_input_contents", b"raw_input_contents"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelInferRequest: _TypeAlias = ModelInferRequest  # noqa: Y015

@_typing.final
class ModelInferResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    @_typing.final
    class InferOutputTensor(_message.Message):

        DESCRIPTOR: _descriptor.Descriptor

        @_typing.final
        class ParametersEntry(_message.Message):
            DESCRIPTOR: _descriptor.Descriptor

            KEY_FIELD_NUMBER: _builtins.int
            VALUE_FIELD_NUMBER: _builtins.int
            key: _builtins.str
            @_builtins.property
            def value(self) -> Global___InferParameter: ...
            def __init__(
                self,
                *,
                key: _builtins.str = ...,
                value: Global___InferParameter | None = ...,
            ) -> None: ...
            _HasFieldArgType: _TypeAlias = _typing.Literal["value", b"value"]  # noqa: Y015
            def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
            _ClearFieldArgType: _TypeAlias = _typing.Literal["key", b"key", "value", b"value"]  # noqa: Y015
            def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
            def WhichOneof(self, oneof_group: _Never) -> None: ...

        NAME_FIELD_NUMBER: _builtins.int
        DATATYPE_FIELD_NUMBER: _builtins.int
        SHAPE_FIELD_NUMBER: _builtins.int
        PARAMETERS_FIELD_NUMBER: _builtins.int
        CONTENTS_FIELD_NUMBER: _builtins.int
        name: _builtins.str
        datatype: _builtins.str
        @_builtins.property
        def shape(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
            """Its shape."""

        @_builtins.property
        def parameters(self) -> _containers.MessageMap[_builtins.str, Global___InferParameter]:
            """None."""

        @_builtins.property
        def contents(self) -> Global___InferTensorContents:
            """Its values, where the request had none that were raw."""

        def __init__(
            self,
            *,
            name: _builtins.str = ...,
            datatype: _builtins.str = ...,
            shape: _abc.Iterable[_builtins.int] | None = ...,
            parameters: _abc.Mapping[_builtins.str, Global___InferParameter] | None = ...,
            contents: Global___InferTensorContents | None = ...,
        ) -> None: ...
        _HasFieldArgType: _TypeAlias = _typing.Literal["contents", b"contents"]  # noqa: Y015
        def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
        _ClearFieldArgType: _TypeAlias = _typing.Literal["contents", b"contents", "datatype", b"datatype", "name", b"name", "parameters", b"parameters", "shape", b"shape"]  # noqa: Y015
        def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
        def WhichOneof(self, oneof_group: _Never) -> None: ...

    @_typing.final
    class ParametersEntry(_message.Message):
        DESCRIPTOR: _descriptor.Descriptor

        KEY_FIELD_NUMBER: _builtins.int
        VALUE_FIELD_NUMBER: _builtins.int
        key: _builtins.str
        @_builtins.property
        def value(self) -> Global___InferParameter: ...
        def __init__(
            self,
            *,
            key: _builtins.str = ...,
            value: Global___InferParameter | None = ...,
        ) -> None: ...
        _HasFieldArgType: _TypeAlias = _typing.Literal["value", b"value"]  # noqa: Y015
        def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
        _ClearFieldArgType: _TypeAlias = _typing.Literal["key", b"key", "value", b"value"]  # noqa: Y015
        def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
        def WhichOneof(self, oneof_group: _Never) -> None: ...

    MODEL_NAME_FIELD_NUMBER: _builtins.int
    MODEL_VERSION_FIELD_NUMBER: _builtins.int
    ID_FIELD_NUMBER: _builtins.int
    PARAMETERS_FIELD_NUMBER: _builtins.int
    OUTPUTS_FIELD_NUMBER: _builtins.int
    RAW_OUTPUT_CONTENTS_FIELD_NUMBER: _builtins.int
    model_name: _builtins.str
    model_version: _builtins.str
    id: _builtins.str
    @_builtins.property
    def parameters(self) -> _containers.MessageMap[_builtins.str, Global___InferParameter]:
        """faces_left_out: how many faces were left out because of max_faces; absent where none were."""

    @_builtins.property
    def outputs(self) -> _containers.RepeatedCompositeFieldContainer[Global___ModelInferResponse.InferOutputTensor]:
        """What was asked for."""

    @_builtins.property
    def raw_output_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.bytes]:
        """The values of each output in turn, little-endian, row by row, where those of the request were raw."""

    def __init__(
        self,
        *,
        model_name: _builtins.str = ...,
        model_version: _builtins.str = ...,
        id: _builtins.str = ...,
        parameters: _abc.Mapping[_builtins.str, Global___InferParameter] | None = ...,
        outputs: _abc.Iterable[Global___ModelInferResponse.InferOutputTensor] | None = ...,
        raw_output_contents: _abc.Iterable[_builtins.bytes] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["id", b"id", "model_name", b"model_name", "model_version", b"model_version", "outputs", b"outputs", "parameters", b"parameters", "raw_output_contents", b"raw_output_contents"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelInferResponse: _TypeAlias = ModelInferResponse  # noqa: Y015

@_typing.final
class ModelConfigRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    VERSION_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    version: _builtins.str
    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        version: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["name", b"name", "version", b"version"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelConfigRequest: _TypeAlias = ModelConfigRequest  # noqa: Y015

@_typing.final
class ModelInput(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    DIMS_FIELD_NUMBER: _builtins.int
    OPTIONAL_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    optional: _builtins.bool
    @_builtins.property
    def dims(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Its shape; −1: of any size."""

    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        dims: _abc.Iterable[_builtins.int] | None = ...,
        optional: _builtins.bool = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["dims", b"dims", "name", b"name", "optional", b"optional"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelInput: _TypeAlias = ModelInput  # noqa: Y015

@_typing.final
class ModelConfig(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    PLATFORM_FIELD_NUMBER: _builtins.int
    MAX_BATCH_SIZE_FIELD_NUMBER: _builtins.int
    INPUT_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    platform: _builtins.str
    max_batch_size: _builtins.int
    @_builtins.property
    def input(self) -> _containers.RepeatedCompositeFieldContainer[Global___ModelInput]:
        """What it takes."""

    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        platform: _builtins.str = ...,
        max_batch_size: _builtins.int = ...,
        input: _abc.Iterable[Global___ModelInput] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["input", b"input", "max_batch_size", b"max_batch_size", "name", b"name", "platform", b"platform"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelConfig: _TypeAlias = ModelConfig  # noqa: Y015

@_typing.final
class ModelConfigResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    CONFIG_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def config(self) -> Global___ModelConfig:
        """Its configuration."""

    def __init__(
        self,
        *,
        config: Global___ModelConfig | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["config", b"config"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["config", b"config"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelConfigResponse: _TypeAlias = ModelConfigResponse  # noqa: Y015

@_typing.final
class InferParameter(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BOOL_PARAM_FIELD_NUMBER: _builtins.int
    INT64_PARAM_FIELD_NUMBER: _builtins.int
    STRING_PARAM_FIELD_NUMBER: _builtins.int
    DOUBLE_PARAM_FIELD_NUMBER: _builtins.int
    UINT64_PARAM_FIELD_NUMBER: _builtins.int
    bool_param: _builtins.bool
    int64_param: _builtins.int
    string_param: _builtins.str
    double_param: _builtins.float
    uint64_param: _builtins.int
    def __init__(
        self,
        *,
        bool_param: _builtins.bool = ...,
        int64_param: _builtins.int = ...,
        string_param: _builtins.str = ...,
        double_param: _builtins.float = ...,
        uint64_param: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["bool_param", b"bool_param", "double_param", b"double_param", "int64_param", b"int64_param", "parameter_choice", b"parameter_choice", "string_param", b"string_param", "uint64_param", b"uint64_param"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bool_param", b"bool_param", "double_param", b"double_param", "int64_param", b"int64_param", "parameter_choice", b"parameter_choice", "string_param", b"string_param", "uint64_param", b"uint64_param"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_parameter_choice: _TypeAlias = _typing.Literal["bool_param", "int64_param", "string_param", "double_param", "uint64_param"]  # noqa: Y015
    _WhichOneofArgType_parameter_choice: _TypeAlias = _typing.Literal["parameter_choice", b"parameter_choice"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_parameter_choice) -> _WhichOneofReturnType_parameter_choice | None: ...

Global___InferParameter: _TypeAlias = InferParameter  # noqa: Y015

@_typing.final
class InferTensorContents(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BOOL_CONTENTS_FIELD_NUMBER: _builtins.int
    INT_CONTENTS_FIELD_NUMBER: _builtins.int
    INT64_CONTENTS_FIELD_NUMBER: _builtins.int
    UINT_CONTENTS_FIELD_NUMBER: _builtins.int
    UINT64_CONTENTS_FIELD_NUMBER: _builtins.int
    FP32_CONTENTS_FIELD_NUMBER: _builtins.int
    FP64_CONTENTS_FIELD_NUMBER: _builtins.int
    BYTES_CONTENTS_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def bool_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.bool]:
        """Of BOOL."""

    @_builtins.property
    def int_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Of INT8, INT16 and INT32."""

    @_builtins.property
    def int64_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Of INT64."""

    @_builtins.property
    def uint_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Of UINT8, UINT16 and UINT32."""

    @_builtins.property
    def uint64_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Of UINT64."""

    @_builtins.property
    def fp32_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Of FP32."""

    @_builtins.property
    def fp64_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Of FP64."""

    @_builtins.property
    def bytes_contents(self) -> _containers.RepeatedScalarFieldContainer[_builtins.bytes]:
        """Of BYTES."""

    def __init__(
        self,
        *,
        bool_contents: _abc.Iterable[_builtins.bool] | None = ...,
        int_contents: _abc.Iterable[_builtins.int] | None = ...,
        int64_contents: _abc.Iterable[_builtins.int] | None = ...,
        uint_contents: _abc.Iterable[_builtins.int] | None = ...,
        uint64_contents: _abc.Iterable[_builtins.int] | None = ...,
        fp32_contents: _abc.Iterable[_builtins.float] | None = ...,
        fp64_contents: _abc.Iterable[_builtins.float] | None = ...,
        bytes_contents: _abc.Iterable[_builtins.bytes] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bool_contents", b"bool_contents", "bytes_contents", b"bytes_contents", "fp32_contents", b"fp32_contents", "fp64_contents", b"fp64_contents", "int64_contents", b"int64_contents", "int_contents", b"int_contents", "uint64_contents", b"uint64_contents", "uint_contents", b"uint_contents"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___InferTensorContents: _TypeAlias = InferTensorContents  # noqa: Y015
